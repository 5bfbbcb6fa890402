#!/usr/bin/env bash
# Everything that there is to test, from a fresh clone: `npm test`. What is missing gets installed.
# The last line is `N passed, M failed`; a suite that did not run, or ran no test, counts as failed.
set -uo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo" || exit 1
results=$repo/node_modules/.cache/test-all
export results cache="${XDG_CACHE_HOME:-$HOME/.cache}/cu"
export venv="$cache/python-venv"
passed=0
failed=0
table=''
failures=''
hosts_started=false
# At a terminal Ctrl-C has to reach what runs; elsewhere a limit ends the whole process group.
in_group=()
[ ! -t 1 ] || in_group=(--foreground)

main() {
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  if ! npm ls --all >/dev/null 2>&1; then
    step install 600 npm ci --no-audit --no-fund || exit 1
  fi
  rm -rf "$results"
  mkdir -p "$results"
  step build 120 npm run --silent build || exit 1
  step check 420 npm run --silent check:static
  lane unit
  if step python 420 bash -c install_python_tools; then
    step python-check 180 bash -c python_check
    lane runtime template
  else
    for name in python-check runtime template; do count "$name" 0 1 0 'not run: no Python environment'; done
  fi
  hosts_started=true
  if step hosts 600 npm run --silent hosts -- up 6; then
    # They mostly wait, so they do it at the same time. What freezes and cuts hosts has three of its own.
    side_by_side e2e 'contract e2e-alone'
    step demo 420 bash scripts/demo.sh --remove
  else
    for name in contract e2e e2e-alone demo; do count "$name" 0 1 0 'not run: no test hosts'; done
  fi
  [ "$failed" = 0 ]
  exit
}

# step NAME SECONDS COMMAND...: one test, passed when the command exits 0 in time.
step() {
  local name=$1 limit=$2 started=$SECONDS code=0
  shift 2
  banner "$name"
  bounded "$limit" "$@" || code=$?
  if [ "$code" = 0 ]; then
    count "$name" 1 0 $((SECONDS - started)) ''
  else
    count "$name" 0 1 $((SECONDS - started)) "$(why "$code" "$limit")"
  fi
  return "$code"
}

# lane SUITE...: one after the other, each counted test by test.
lane() {
  local name
  for name in "$@"; do
    banner "$name"
    run_suite "$name"
    count_suite "$name"
  done
}

# side_by_side LANE...: lanes of suites at the same time; what they say comes once all have ended.
side_by_side() {
  local each name
  local -a runs=()
  for each in "$@"; do
    banner "$each, beside others"
    (for name in $each; do run_suite "$name" >"$results/$name.log" 2>&1; done) &
    runs+=($!)
  done
  wait "${runs[@]}"
  for name in $*; do
    banner "$name"
    cat "$results/$name.log"
    count_suite "$name"
  done
}

# What a suite is, and how many seconds it may take. It leaves a report, its exit code and its time.
run_suite() {
  local started=$SECONDS code=0
  case "$1" in
    unit) vitest 300 unit ;;
    runtime) bounded 600 bash -c runtime_tests ;;
    template) bounded 180 bash -c template_tests ;;
    e2e) CU_TEST_FLEET=1 vitest 1200 e2e ;;
    contract) CU_TEST_FLEET=2 vitest 600 contract ;;
    e2e-alone) CU_TEST_FLEET=2 vitest 1200 e2e-alone ;;
  esac || code=$?
  echo "$code $((SECONDS - started))" >"$results/$1.end"
}

vitest() {
  bounded "$1" npx vitest run --project "$2" --reporter=default --reporter=json --outputFile.json="$results/$2.json"
}

count_suite() {
  local name=$1 report=$results/$1.json code=1 seconds=0 p f note
  [ -e "$report" ] || report=$results/$name.xml
  read -r code seconds <"$results/$name.end"
  read -r p f note < <(read_report "$report" "$code")
  [ "$f" = 0 ] || [ "$code" = 1 ] || note="$(why "$code" "$seconds") $note"
  [ "$f" = 0 ] || failures+=$(name_failures "$report" "$name")$'\n'
  count "$name" "$p" "$f" "$seconds" "$note"
}

# Prints `PASSED FAILED NOTE` of a report of vitest (JSON) or pytest (JUnit's XML).
read_report() {
  node -e '
    const { readFileSync } = require("node:fs");
    const [file, code] = process.argv.slice(1);
    const readers = { json: readVitest, xml: readPytest };
    let totals;
    try { totals = readers[file.split(".").pop()](readFileSync(file, "utf8")); } catch { totals = undefined; }
    if (totals === undefined) say(0, 1, "did not run");
    else if (totals.failed > 0) say(totals.passed, totals.failed, "");
    else if (totals.passed === 0) say(0, 1, "ran no test");
    else if (code !== "0") say(totals.passed, 1, "failed outside of its tests");
    else say(totals.passed, 0, totals.skipped > 0 ? `${totals.skipped} skipped` : "");

    function say(...words) { console.log(words.join(" ")); }

    function readVitest(text) {
      const files = JSON.parse(text).testResults;
      const count = (tests, ...states) => tests.filter((test) => states.includes(test.status)).length;
      const all = files.flatMap((each) => each.assertionResults);
      // A file that could not be loaded, or whose hooks failed, fails without a failed test.
      const broken = files.filter((each) => each.status === "failed" && count(each.assertionResults, "failed") === 0);
      return { passed: count(all, "passed"), failed: count(all, "failed") + broken.length, skipped: count(all, "skipped", "pending", "todo", "disabled") };
    }

    function readPytest(text) {
      const number = (name) => Number(new RegExp(`<testsuite [^>]*\\b${name}="(\\d+)"`).exec(text)[1]);
      const failed = number("failures") + number("errors");
      return { passed: number("tests") - failed - number("skipped"), failed, skipped: number("skipped") };
    }
  ' "$1" "$2"
}

# Prints a line for each test that failed, to be read at the very end of a long log.
name_failures() {
  node -e '
    const { readFileSync } = require("node:fs");
    const { relative } = require("node:path");
    const [file, suite] = process.argv.slice(1);
    try { console.log((file.endsWith(".json") ? ofVitest : ofPytest)(readFileSync(file, "utf8")).map((name) => `${suite}: ${name}`).join("\n")); } catch {}

    function ofVitest(text) {
      return JSON.parse(text).testResults.flatMap((each) => {
        const failed = each.assertionResults.filter(({ status }) => status === "failed");
        const path = relative(process.cwd(), each.name);
        if (failed.length > 0) return failed.map((test) => `${path} > ${test.fullName}: ${firstLine(test.failureMessages)}`);
        return each.status === "failed" ? [`${path}: ${firstLine([each.message])}`] : [];
      });
    }

    function firstLine([message = ""]) { return message.split("\n")[0].slice(0, 200); }

    function ofPytest(text) {
      return [...text.matchAll(/<testcase classname="([^"]*)" name="([^"]*)"[^>]*>\s*<(failure|error)/g)].map(([, file, name]) => `${file} > ${name}`);
    }
  ' "$1" "$2"
}

# A Python environment with what the runtime needs, kept between runs; a real Redis, and a browser for the page of docs.
install_python_tools() {
  local stamp
  if ! python3 -c 'import ensurepip, sys; assert sys.version_info >= (3, 11)' 2>/dev/null; then install python3-venv || return 1; fi
  command -v redis-server >/dev/null || install redis-server || return 1
  [ -x /usr/bin/chromium ] || install chromium || return 1
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv" || return 1
  stamp=$(cat templates/runtime/pyproject.toml templates/app/requirements*.txt | sha256sum)
  if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ]; then
    # From a copy, because pip builds in the folder; and then without the package itself: the tests take the one here.
    local copy
    copy=$(mktemp -d) && cp -r templates/runtime/. "$copy" || return 1
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$copy[test,dev]" -r templates/app/requirements.txt \
      -r templates/app/requirements-test.txt || return 1
    "$venv/bin/python" -m pip uninstall --quiet --yes cu-runtime || return 1
    rm -rf "$copy"
    printf '%s' "$stamp" >"$venv/stamp"
  fi
}

python_check() {
  cd templates/runtime || return 1
  "$venv/bin/python" -m mypy --cache-dir="$cache/mypy" && "$venv/bin/python" -m ruff check --no-cache . ../app ../../scripts &&
    "$venv/bin/python" -m ruff format --no-cache --check . ../app ../../scripts
}

runtime_tests() {
  cd templates/runtime || return 1
  PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest --junitxml="$results/runtime.xml" tests
}

template_tests() {
  cd templates/app || return 1
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=../runtime "$venv/bin/python" -m pytest -q -p cu.testing -p no:cacheprovider \
    --junitxml="$results/template.xml" .
}

# install PACKAGE...: Debian's
install() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$* is needed: install it" >&2
    return 1
  fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
export -f template_tests runtime_tests python_check install_python_tools install

bounded() {
  local limit=$1
  shift
  timeout "${in_group[@]}" --kill-after=20 "$limit" "$@" </dev/null
}

why() {
  case "$1" in
    124 | 137) echo "took longer than $2 s;" ;;
    *) echo "exited $1;" ;;
  esac
}

banner() { printf '\n==== %s (after %s s)\n' "$1" "$SECONDS"; }

count() {
  passed=$((passed + $2))
  failed=$((failed + $3))
  table+=$(printf '%-10s %5s passed %5s failed %5s s  %s' "$1" "$2" "$3" "$4" "$5")$'\n'
}

# Whatever happened: no test host stays, and the last line says how it went.
clean_up() {
  local code=$?
  trap - EXIT
  # Suites that were going on beside others: the shell of a lane, and what runs in it.
  local lane
  for lane in $(jobs -p); do
    kill "$lane" 2>/dev/null
    pkill -TERM -P "$lane" 2>/dev/null
  done
  if $hosts_started; then
    banner 'hosts down'
    bounded 120 npm run --silent hosts -- down || count 'hosts down' 0 1 0 'test hosts may be left over'
  fi
  if [ "$code" != 0 ] && [ "$failed" = 0 ]; then count 'test-all' 0 1 "$SECONDS" "ended with exit code $code"; fi
  if [ "$failed" != 0 ] && [ "$code" = 0 ]; then code=1; fi
  [ -z "$failures" ] || printf '\nFailed:\n%s' "$failures"
  printf '\n%s\n%s passed, %s failed\n' "$table" "$passed" "$failed"
  exit "$code"
}

main
