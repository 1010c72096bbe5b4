# Node: promises, timers, files, child processes, worker threads, sockets, streams.
cat > /tmp/n.js <<'END'
const fs = require('fs'), cp = require('child_process'), { Worker, isMainThread, parentPort } = require('worker_threads'), net = require('net'), zlib = require('zlib'), crypto = require('crypto');
if (!isMainThread) { let s = 0; for (let i = 0; i < 1e6; i++) s += i; parentPort.postMessage(s); } else (async () => {
  const sleep = ms => new Promise(r => setTimeout(r, ms)), order = [];
  await Promise.all([sleep(60).then(() => order.push(2)), sleep(20).then(() => order.push(1)), sleep(100).then(() => order.push(3))]);
  console.log(order);
  fs.writeFileSync('/tmp/nf', 'x'.repeat(100000)); console.log(fs.statSync('/tmp/nf').size);
  console.log((await fs.promises.readdir('/usr/lib')).length > 10);
  console.log(cp.execSync('echo sync | tr a-z A-Z').toString().trim());
  console.log(await new Promise(r => cp.exec('exit 7', e => r(e.code))));
  const c = cp.spawn('cat'); let out = ''; c.stdout.on('data', d => out += d); c.stdin.end('spawned'); await new Promise(r => c.on('close', r)); console.log(out);
  const k = cp.spawn('sleep', ['50']); k.kill(); console.log(await new Promise(r => k.on('exit', (c, s) => r(s))));
  console.log(await Promise.all([1, 2, 3].map(() => new Promise(r => new Worker(__filename).on('message', r)))));
  const s = net.createServer(c => c.pipe(c)).listen('/tmp/ns'); await new Promise(r => s.on('listening', r));
  console.log(await Promise.all([...Array(10).keys()].map(i => new Promise(r => { const c = net.connect('/tmp/ns'); c.write('m' + i); c.on('data', d => { r(d.toString()); c.end(); }); }))));
  s.close();
  console.log(zlib.gunzipSync(zlib.gzipSync(Buffer.alloc(1e6, 'z'))).length, crypto.createHash('sha256').update('x').digest('hex').slice(0, 8));
  console.log(await new Promise(r => crypto.pbkdf2('p', 's', 1000, 16, 'sha1', (e, k) => r(k.toString('hex')))));
  process.on('SIGUSR2', () => { console.log('signal'); process.exit(3); }); process.kill(process.pid, 'SIGUSR2'); await sleep(3000);
})();
END
node /tmp/n.js; echo "status $?"
node -e 'process.stdout.write("v" + (process.version.length > 3) + "\n")'
node -e 'throw new Error("x")' > /dev/null 2>&1; echo "status $?"
echo 'console.log([3,1,2].sort().join())' | node -
node -e 'const fs=require("fs");const w=fs.watch("/tmp",(e,f)=>{if(f==="watched"){console.log("seen");process.exit()}});setTimeout(()=>fs.writeFileSync("/tmp/watched",""),100);setTimeout(()=>process.exit(1),5000)'
