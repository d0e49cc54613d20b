// Signs a webhook with the official packages. Prints the value of the signature header, by package.
//
//   node webhook_signers.mjs MODULES SECRET ID SECONDS BODY      MODULES: the folder of the packages
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [modules, secret, id, seconds, body] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const signed = {};
for (const name of ['standardwebhooks', 'svix']) {
  const { Webhook } = require(join(modules, name));
  signed[name] = new Webhook(secret).sign(id, new Date(Number(seconds) * 1000), body);
}
console.log(JSON.stringify(signed));
