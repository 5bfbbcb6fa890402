#!/usr/bin/env bash
# From a fresh clone on a fresh machine to a running distributed service: `npm run demo`.
# With --remove it takes everything away again at the end, also after a failure.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
remove=false
started_stand_in=false
case "${1-}" in
  --remove) remove=true ;;
  '') ;;
  *) echo "demo: unknown argument $1; the only one is --remove" >&2; exit 2 ;;
esac

say() { printf '\n== %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

main() {
  cd "$repo"
  check_node
  install_dependencies
  find_engine
  deploy_example
  if $remove; then
    finish
  else
    tell_how_to_remove
  fi
}

check_node() {
  command -v node >/dev/null || fail 'Node.js is missing: install version 20.19 or newer (https://nodejs.org)'
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js $(node --version) is too old: 20.19 or newer is needed"
}

install_dependencies() {
  if ! npm ls --all >/dev/null 2>&1; then
    say 'Installing the packages of package-lock.json into node_modules'
    run npm ci --no-audit --no-fund </dev/null
  fi
  say 'Building cu'
  run npm run --silent build
}

# ---- a Docker Engine that can get python:3.13-slim and redis:8

find_engine() {
  say 'Looking for a Docker Engine'
  if engine_answers; then
    echo "found one at ${DOCKER_HOST:-/var/run/docker.sock}"
    if engine_has_images || engine_has_mirror || hub_answers; then return; fi
    echo 'but it has no images python:3.13-slim and redis:8, and Docker Hub does not answer'
    start_stand_in
  elif [ -n "${DOCKER_HOST-}" ]; then
    fail "no engine answers at DOCKER_HOST=$DOCKER_HOST; unset it to use or install a local one"
  elif hub_answers; then
    install_engine
  else
    echo 'none answers at /var/run/docker.sock, and Docker Hub does not answer either'
    start_stand_in
  fi
}

engine_answers() { engine_get /_ping >/dev/null; }

engine_has_images() { { engine_get /images/python:3.13-slim/json && engine_get /images/redis:8/json; } >/dev/null; }

engine_has_mirror() { engine_get /info | grep '"Mirrors":\["' >/dev/null; }

# Asks the engine's API; needs no docker command. Other schemes than unix and tcp are left to cu itself.
engine_get() {
  node -e '
    const at = process.env.DOCKER_HOST || "unix:///var/run/docker.sock";
    const url = new URL(at.replace(/^tcp:/, "http:"));
    if (url.protocol !== "unix:" && url.protocol !== "http:") process.exit(0);
    const target = url.protocol === "unix:" ? { socketPath: url.pathname } : { host: url.hostname, port: url.port || 2375 };
    const request = require("node:http").get({ ...target, path: process.argv[1], timeout: 5000 }, (response) => {
      process.exitCode = response.statusCode === 200 ? 0 : 1;
      response.pipe(process.stdout);
    });
    request.on("timeout", () => request.destroy(new Error("no answer"))).on("error", () => process.exit(1));
  ' "$1"
}

# Docker Hub asks for a login (401) when it is there.
hub_answers() {
  node -e '
    fetch("https://registry-1.docker.io/v2/", { signal: AbortSignal.timeout(8000) })
      .then((response) => process.exit(response.status === 401 || response.ok ? 0 : 1), () => process.exit(1));
  '
}

install_engine() {
  if ! command -v dockerd >/dev/null; then
    command -v apt-get >/dev/null || fail 'no Docker Engine: install one (https://docs.docker.com/engine/install) and run this again'
    say 'No Docker Engine is installed: installing the package docker.io with apt-get'
    [ "$(id -u)" = 0 ] || fail 'that needs root: run `sudo apt-get install docker.io`, then this again'
    run apt-get update -qq
    DEBIAN_FRONTEND=noninteractive run apt-get install -y -qq --no-install-recommends docker.io iptables ca-certificates
  fi
  engine_answers && return
  say 'No Docker Engine is running: starting it'
  [ "$(id -u)" = 0 ] || fail 'that needs root: run `sudo systemctl start docker`, then this again'
  if [ -d /run/systemd/system ]; then
    run systemctl start docker
  else
    echo '$ setsid dockerd >/tmp/cu-demo-dockerd.log 2>&1 &'
    setsid dockerd >/tmp/cu-demo-dockerd.log 2>&1 </dev/null &
  fi
  for _ in $(seq 60); do
    engine_answers && return
    sleep 1
  done
  fail 'the Docker Engine did not answer within 60 s; see /tmp/cu-demo-dockerd.log or `journalctl -u docker`'
}

# The engine of the test hosts comes with a mirror that has stand-ins for the public images.
start_stand_in() {
  [ "$(id -u)" = 0 ] || fail 'the images python:3.13-slim and redis:8 are not to be had: Docker Hub does not answer (its stand-in for tests needs root)'
  say 'Starting the test engine with a stand-in for Docker Hub (the first time: installs docker.io, docker-registry and debootstrap, and takes some minutes)'
  # Not ours to stop when it runs already.
  [ -S /run/cu-tb/docker.sock ] || started_stand_in=true
  echo '$ npx tsx test/support/hosts-cli.ts engine'
  DOCKER_HOST=$(npx tsx test/support/hosts-cli.ts engine </dev/null | sed -n 's/^DOCKER_HOST=//p')
  export DOCKER_HOST
  engine_answers || fail "the test engine does not answer at '$DOCKER_HOST'"
  echo "it answers at $DOCKER_HOST"
}

# ---- the example

cu() { printf '\n$ cu %s\n' "$*"; node "$repo/bin/cu.js" "$@"; }

deploy_example() {
  folder=$(mktemp -d "${TMPDIR:-/tmp}/cu-demo.XXXXXX")
  if $remove; then trap 'trap - EXIT; finish_quietly' EXIT; fi
  say "The example application, in $folder"
  run cd "$folder"
  cu init </dev/null
  run ls -A
  cu deploy --env dev </dev/null
  say 'Calling the service'
  call '{"strips": 6}'
  say 'The same light from another side: the landscape is there already, only its light is computed'
  call '{"strips": 6, "azimuth": 90}'
  cu status --env dev </dev/null
  cu logs --env dev --tail 5 </dev/null
}

# Shows the answer; an answer without a worker's name in it is a failure.
call() {
  printf '\n$ curl -H "Authorization: Bearer $API_TOKEN" --json %s http://127.0.0.1:8123/v1/call/tasks.relief\n' "'$1'"
  node -e '
    const token = require("node:fs").readFileSync(".cu/secrets.env", "utf8").match(/^API_TOKEN=(.*)$/m)[1];
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", prefer: "wait=60" };
    const options = { method: "POST", headers, body: process.argv[1], signal: AbortSignal.timeout(90_000) };
    fetch("http://127.0.0.1:8123/v1/call/tasks.relief", options)
      .then(async (response) => {
        const text = await response.text();
        console.log(response.ok ? JSON.stringify(JSON.parse(text), null, 2) : `${response.status} ${text}`);
        process.exitCode = response.status === 200 && Object.keys(JSON.parse(text).workers).length > 0 ? 0 : 1;
      })
      .catch((error) => { console.error(`no answer: ${error.cause?.message ?? error.message}`); process.exitCode = 1; });
  ' "$1" || fail 'the service did not answer as it should'
}

finish() {
  trap - EXIT
  say 'Removing all of it'
  cu remove --env dev --volumes --yes </dev/null
  cd "$repo"
  run rm -rf "$folder"
  if $started_stand_in; then run npm run --silent hosts -- down </dev/null; fi
  say 'Done: deployed, called, removed.'
}

# After a failure: leave nothing behind, and keep the exit code of the failure.
finish_quietly() {
  echo 'demo: failed; removing what it made' >&2
  (cd "$folder" && node "$repo/bin/cu.js" remove --env dev --volumes --yes) </dev/null >&2 || true
  rm -rf "$folder"
  if $started_stand_in; then (cd "$repo" && npm run --silent hosts -- down) </dev/null >&2 || true; fi
}

tell_how_to_remove() {
  local prefix=''
  [ -z "${DOCKER_HOST-}" ] || prefix="DOCKER_HOST=$DOCKER_HOST "
  say 'It runs: http://127.0.0.1:8123/docs'
  printf 'Change %s/tasks.py and deploy again:\n  cd %s && %snode %s/bin/cu.js deploy\n' "$folder" "$folder" "$prefix" "$repo"
  printf 'Remove it, its data and the folder:\n  cd %s && %snode %s/bin/cu.js remove --env dev --volumes --yes && rm -rf %s\n' "$folder" "$prefix" "$repo" "$folder"
  if $started_stand_in; then printf 'Stop the test engine:\n  cd %s && npm run hosts -- down\n' "$repo"; fi
}

main
