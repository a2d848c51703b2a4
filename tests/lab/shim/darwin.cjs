// Makes Node code believe that it runs on the simulated Mac of CLAWFLEET_LAB_MAC.
// The `node` wrapper loads it with NODE_OPTIONS; see ../standins/node_wrapper.py.
'use strict';

const KEY = Symbol.for('clawfleet.lab.darwin');
if (!globalThis[KEY]) {
  globalThis[KEY] = true;
  become(JSON.parse(require('node:fs').readFileSync(process.env.CLAWFLEET_LAB_MAC, 'utf8')));
}

function become(mac) {
  tidyEnvironment();
  patchPlatform();
  patchOs(mac);
  hideHost(mac);
  patchSpawn(mac);
  linkCompiled(mac);
  // ES modules that import these built-ins by name see the patched functions only after this.
  require('node:module').syncBuiltinESMExports();
}

// The program must see (and write into its LaunchAgent) the wrapper as its Node, and none of the
// variables that the wrapper needed: what it starts goes through the wrapper again.
function tidyEnvironment() {
  const wrapper = process.env.CLAWFLEET_LAB_NODE;
  if (wrapper) {
    process.execPath = wrapper;
    if (process.argv.length) process.argv[0] = wrapper;
  }
  const given = process.env.CLAWFLEET_LAB_NODE_OPTIONS;
  if (given) process.env.NODE_OPTIONS = given;
  else delete process.env.NODE_OPTIONS;
  for (const name of ['NODE', 'NODE_OPTIONS', 'ARGV0']) delete process.env[`CLAWFLEET_LAB_${name}`];
}

// Packages with native parts choose their binary by process.platform while their module body runs:
// they get the truth, because no Darwin binary would load here. process.arch stays true for the
// same reason.
function patchPlatform() {
  const truth = process.platform;
  let loadingNative = 0;
  Object.defineProperty(process, 'platform', {
    get: () => (loadingNative ? truth : 'darwin'),
    configurable: true,
    enumerable: true,
  });
  const native = new RegExp(
    '[\\\\/]node_modules[\\\\/](koffi|@lydell|node-pty|sqlite-vec|sharp|detect-libc|@img|@napi-rs|' +
      '@node-llama-cpp|@snazzah|@mariozechner[\\\\/]clipboard|@matrix-org|bufferutil|utf-8-validate)',
  );
  const extensions = require('node:module')._extensions;
  const load = extensions['.js'];
  extensions['.js'] = function (module, file) {
    if (!native.test(file)) return load(module, file);
    loadingNative += 1;
    try {
      return load(module, file);
    } finally {
      loadingNative -= 1;
    }
  };
}

function patchOs(mac) {
  const os = require('node:os');
  os.platform = () => process.platform;
  os.type = () => 'Darwin';
  os.release = () => mac.darwin;
  os.version = () => `Darwin Kernel Version ${mac.darwin}`;
  os.hostname = () => mac.name;
  // Not asked of the machine below, which may have no account of that number.
  os.userInfo = () => ({
    uid: mac.uid,
    gid: mac.gid,
    username: mac.user,
    homedir: mac.home,
    shell: '/bin/zsh',
  });
  // launchd's domains are named after the uid: gui/501.
  if (process.getuid() !== mac.uid) process.getuid = () => mac.uid;
}

// Files of the machine below that a Mac does not have, and that change what OpenClaw does: signs of
// a container, and (where Macs share the file system) Node installations of the machine.
function hideHost(mac) {
  const fs = require('node:fs');
  const hidden = new Set([
    '/.dockerenv',
    '/run/.containerenv',
    '/var/run/.containerenv',
    '/proc/1/cgroup',
  ]);
  if (mac.root) {
    for (const prefix of ['/opt/homebrew', '/usr/local']) {
      hidden.add(`${prefix}/bin/node`);
      for (const name of ['node', 'node@22', 'node@24']) hidden.add(`${prefix}/opt/${name}/bin/node`);
    }
    hidden.add('/usr/bin/node');
  }
  const missing = (call, path) =>
    Object.assign(new Error(`ENOENT: no such file or directory, ${call} '${path}'`), {
      errno: -2,
      code: 'ENOENT',
      syscall: call,
      path,
    });
  for (const name of ['accessSync', 'readFileSync', 'statSync', 'realpathSync']) {
    const original = fs[name];
    const patched = function (path, ...rest) {
      if (hidden.has(path)) {
        if (rest[0]?.throwIfNoEntry === false) return undefined;
        throw missing(name.replace('Sync', ''), path);
      }
      return original.call(this, path, ...rest);
    };
    fs[name] = Object.assign(patched, original);
  }
  const exists = fs.existsSync;
  fs.existsSync = (path) => !hidden.has(path) && exists(path);
  for (const name of ['access', 'readFile', 'stat', 'realpath']) {
    const original = fs.promises[name];
    fs.promises[name] = async function (path, ...rest) {
      if (hidden.has(path)) throw missing(name, path);
      return original.call(this, path, ...rest);
    };
  }
}

// Where Macs share the file system, macOS' own commands are the stand-ins in mac.bin, whatever PATH
// the program passes on. Elsewhere they already lie where a Mac has them.
function patchSpawn(mac) {
  if (!mac.root) return;
  const childProcess = require('node:child_process');
  const fs = require('node:fs');
  const { custom } = require('node:util').promisify;
  const system = /^(?:\/(?:usr\/)?s?bin\/)?([^/]+)$/;
  const map = (file) => {
    const match = typeof file === 'string' && system.exec(file);
    if (!match) return file;
    const standIn = `${mac.bin}/${match[1]}`;
    return fs.existsSync(standIn) ? standIn : file;
  };
  for (const name of ['spawn', 'spawnSync', 'execFile', 'execFileSync']) {
    const original = childProcess[name];
    const patched = function (file, ...rest) {
      return original.call(this, map(file), ...rest);
    };
    if (original[custom]) {
      Object.defineProperty(patched, custom, {
        value: (file, ...rest) => original[custom](map(file), ...rest),
      });
    }
    childProcess[name] = patched;
  }
}

// What the plugins of 2026.2.x compile to, made once for all Macs (see ../openclaw_warm.py): a new
// temporary folder gets links to it, as if OpenClaw had run on this Mac before.
function linkCompiled(mac) {
  const fs = require('node:fs');
  const path = require('node:path');
  const target = path.join(require('node:os').tmpdir(), 'jiti');
  if (!process.argv[1] || fs.existsSync(target)) return;
  let script;
  try {
    script = fs.realpathSync(process.argv[1]);
  } catch {
    return;
  }
  const within = path.relative(fs.realpathSync(mac.cache), script).split(path.sep);
  if (within[0] !== 'openclaw') return;
  const root = path.join(fs.realpathSync(mac.cache), 'openclaw', within[1]);
  if (!fs.existsSync(`${root}/jiti/index.json`)) return;
  const { linked, rooted } = JSON.parse(fs.readFileSync(`${root}/jiti/index.json`, 'utf8'));
  const beside = `${target}.${process.pid}`;
  const own = (name, source) => {
    const digest = require('node:crypto').createHash('md5').update(`${root}/${source}`).digest('hex');
    return `${beside}/${name.replace(/\.[0-9a-f]{8}(\.[cm]js)$/, `.${digest.slice(0, 8)}$1`)}`;
  };
  fs.mkdirSync(beside, { recursive: true });
  for (const [name, source] of Object.entries(linked)) {
    fs.symlinkSync(`${root}/jiti/${name}`, own(name, source));
  }
  for (const [name, source] of Object.entries(rooted)) {
    const text = fs.readFileSync(`${root}/jiti/${name}`, 'utf8');
    fs.writeFileSync(own(name, source), text.replaceAll('@CLAWFLEET_LAB_ROOT@', root));
  }
  try {
    fs.renameSync(beside, target);
  } catch {
    // Another process was first.
    fs.rmSync(beside, { recursive: true });
  }
}
