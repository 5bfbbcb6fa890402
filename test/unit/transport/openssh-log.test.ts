import { expect, test } from 'vitest';
import { refusalIn } from '../../../src/transport/openssh-log.ts';

/** As OpenSSH 9.2 wrote it, one channel number used again and again. */
const log = `debug1: channel 2: new stdio-forward [stdio-forward] (inactive timeout: 0)
channel 2: open failed: connect failed: Connection refused
debug1: channel 2: free: direct-tcpip: listening port 0 for 127.0.0.1 port 1, connect from 127.0.0.1 port 65535 to UNKNOWN port 65536, nchannels 3
debug1: channel 2: new stdio-forward [stdio-forward] (inactive timeout: 0)
channel 2: open failed: connect failed: Name or service not known
debug1: channel 2: free: direct-tcpip: listening port 0 for no-such.invalid port 80, connect from 127.0.0.1 port 65535 to UNKNOWN port 65536, nchannels 3
channel 2: open failed: administratively prohibited: open failed
debug1: channel 2: free: direct-tcpip: listening port 0 for 127.0.0.1 port 22, connect from 127.0.0.1 port 65535 to UNKNOWN port 65536, nchannels 3
debug1: channel 2: free: direct-tcpip: listening port 0 for 127.0.0.1 port 6379, connect from 127.0.0.1 port 65535 to UNKNOWN port 65536, nchannels 3
`;

test.each([
  ['127.0.0.1', 1, 'Connection refused'],
  ['no-such.invalid', 80, 'Name or service not known'],
  ['127.0.0.1', 22, 'administratively prohibited: open failed'],
  ['127.0.0.1', 6379, undefined],
  ['192.0.2.1', 1, undefined],
])('why %s port %i was not reached', (address, port, reason) => {
  expect(refusalIn(log, address, port)).toBe(reason);
});
