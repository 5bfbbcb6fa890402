import { fileURLToPath } from 'node:url';
import { startScenario } from './scenario.ts';
import type { Scenario } from './scenario.ts';

/** A project whose webserver on host1 and host2 speaks the routes of the runtime: `web-api/server.py`. */
export function startWebApi(options: {
  readonly project: string;
  readonly port: number;
  readonly token: string;
}): Promise<Scenario> {
  const { project, port, token } = options;
  const config = `
storage: none
secrets: { files: [.cu/secrets.env] }
images: { app: { repository: ${project}, build: { context: . } } }
services:
  site:
    kind: webserver
    image: app
    command: [python, -u, /server.py]
    on: [host1, host2]
    ports: ["*:${port}"]
    secrets: [API_TOKEN]
    drain: 1s
    restart: "no"
`;
  return startScenario({
    project,
    config,
    template: fileURLToPath(new URL('web-api', import.meta.url)),
    files: { '.cu/secrets.env': `API_TOKEN=${token}\n` },
    hosts: ['host1', 'host2'],
  });
}
