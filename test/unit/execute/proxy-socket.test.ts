import { expect, test } from 'vitest';
import { parseStat } from '../../../src/execute/proxy/socket.ts';

test('the statistics of HAProxy are read by the names of their columns, which differ from version to version', () => {
  const text = [
    '# pxname,svname,qcur,qmax,scur,smax,status,weight,check_status,last_chk,',
    'port-any-80,FRONTEND,,,3,9,OPEN,,,,',
    'shop-dev-web-8000,1-a,0,0,2,5,UP,1,L7OK,,',
    'shop-dev-web-8000,1-b,0,0,0,1,MAINT,1,L4TOUT,,',
    'shop-dev-web-8000,BACKEND,1,0,2,5,UP,1,,,',
    '',
    '',
  ].join('\n');

  expect(parseStat(text)).toEqual([
    { backend: 'port-any-80', server: 'FRONTEND', status: 'OPEN', sessions: 3, queued: 0, check: '' },
    { backend: 'shop-dev-web-8000', server: '1-a', status: 'UP', sessions: 2, queued: 0, check: 'L7OK' },
    { backend: 'shop-dev-web-8000', server: '1-b', status: 'MAINT', sessions: 0, queued: 0, check: 'L4TOUT' },
    { backend: 'shop-dev-web-8000', server: 'BACKEND', status: 'UP', sessions: 2, queued: 1, check: '' },
  ]);
});
