import { createPool } from '../../../src/transport/pool.ts';
import { attachTestbed } from '../../support/hosts.ts';
const bed = await attachTestbed();
const h = bed.hosts[0]; if (!h) throw new Error('no');
const client = (process.argv[2] ?? 'ssh2') as 'ssh2'|'openssh';
const target = { name: 'host1', connection: 'ssh' as const, address: h.address, port: h.port, user: 'deploy', identity: bed.identity, proxyJump: [], knownHosts: h.hostKeyLines, advertise: undefined, client, dockerSocket: undefined };
const t0=performance.now();
const lap=(w:string)=>console.log(w, Math.round(performance.now()-t0));
{
await using pool = createPool({ env: process.env, home: '/root', username: 'root', tmp: '/tmp', connectTimeoutMs: 15000, interactive: false, ask: async()=>'' , confirm: async()=>false, emit: (e)=>console.log(JSON.stringify(e)), signal: new AbortController().signal, targets: [target] });
const host = await pool.open(target); lap('open');
console.log(await host.run(['echo', "a'b  c\n"])); lap('run');
const d = host.docker();
const v: any = await d.json({method:'GET', path:'/version'}); console.log(v.ApiVersion); lap('version');
for (let i=0;i<20;i++) await d.json({method:'GET', path:'/version'}); lap('20 in a row');
await Promise.all(Array.from({length:60},()=>d.json({method:'GET', path:'/version'}))); lap('60 at once');
await Promise.all(Array.from({length:60},(_, i)=>host.run(['echo', `${i}`]))); lap('60 runs at once');
console.log(d.usage);
}
lap('disposed');
