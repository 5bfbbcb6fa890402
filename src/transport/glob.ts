/** `*` and `?` as in ssh_config and known_hosts; in time linear in the text for each star. */
export function globMatches(pattern: string, text: string): boolean {
  let at = 0;
  let read = 0;
  let star = -1;
  let retryFrom = 0;
  while (read < text.length) {
    if (pattern[at] === '*') {
      star = at;
      retryFrom = read;
      at += 1;
    } else if (pattern[at] === '?' || pattern[at] === text[read]) {
      at += 1;
      read += 1;
    } else if (star >= 0) {
      at = star + 1;
      retryFrom += 1;
      read = retryFrom;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}
