//! Configuring a file system step by step (`fsopen(2)`, `fspick(2)`, `fsconfig(2)`).
//!
//! An [`FsConfig`] is the object behind such a descriptor: it takes parameters, makes an
//! instance or changes one, and keeps messages for who reads the descriptor. Lock rank: its
//! state is with a description's offset, above all that making an instance needs.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use abi::Errno;

use super::file::{File, FileOps, IoCx, OpenFlags};
use super::vfs::fs_type::{FsType, check_option};
use super::vfs::{MountFlags, MountLocks, MountNamespace, SuperBlock, SuperFlags};
use crate::Result;
use crate::io::IoDst;
use crate::sync::Mutex;
use crate::task::Task;

/// Messages kept; older ones are lost.
const LOG_MAX: usize = 8;
/// Longest text of all options.
const OPTIONS_MAX: usize = 4095;

/// Parameters that are flags of the instance: name, bit, and whether it is set.
const FLAGS: [(&[u8], SuperFlags, bool); 9] = [
    (b"dirsync", SuperFlags::DIRSYNC, true),
    (b"lazytime", SuperFlags::LAZYTIME, true),
    (b"mand", SuperFlags::MANDLOCK, true),
    (b"ro", SuperFlags::RDONLY, true),
    (b"sync", SuperFlags::SYNCHRONOUS, true),
    (b"async", SuperFlags::SYNCHRONOUS, false),
    (b"nolazytime", SuperFlags::LAZYTIME, false),
    (b"nomand", SuperFlags::MANDLOCK, false),
    (b"rw", SuperFlags::RDONLY, false),
];

/// A value given to a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param<'a> {
    /// None.
    Flag,
    /// A text.
    Text(&'a [u8]),
    /// A blob, a path or a descriptor, which no file system here takes.
    Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Takes parameters of a new instance.
    Params,
    /// The instance waits to be mounted.
    Made,
    /// Takes parameters of a change.
    Change,
    /// Making or changing failed.
    Failed,
}

struct State {
    phase: Phase,
    flags: SuperFlags,
    /// Which flags were named.
    mask: SuperFlags,
    source: Option<Vec<u8>>,
    options: Vec<u8>,
    sb: Option<Arc<SuperBlock>>,
}

/// A file system being configured.
pub struct FsConfig {
    kind: FsType,
    state: Mutex<State>,
    log: Mutex<VecDeque<String>>,
}

impl FsConfig {
    fn new(kind: FsType, phase: Phase, sb: Option<Arc<SuperBlock>>) -> Arc<FsConfig> {
        Arc::new(FsConfig {
            kind,
            state: Mutex::new(State {
                phase,
                flags: SuperFlags::empty(),
                mask: SuperFlags::empty(),
                source: None,
                options: Vec::new(),
                sb,
            }),
            log: Mutex::default(),
        })
    }

    /// For a new instance (`fsopen(2)`).
    pub fn open(kind: FsType) -> Arc<File> {
        let config = FsConfig::new(kind, Phase::Params, None);
        File::anonymous(config, OpenFlags::RDWR)
    }

    /// For changing an instance (`fspick(2)`).
    pub fn pick(t: &Task, sb: &Arc<SuperBlock>) -> Arc<File> {
        let types = &t.kernel.fs_types;
        let kind = types.find(sb.fs.name().as_bytes());
        let kind = kind.unwrap_or_else(|_| FsType::unmade(sb.fs.name()));
        let config = FsConfig::new(kind, Phase::Change, Some(sb.clone()));
        File::anonymous(config, OpenFlags::RDWR)
    }

    /// A mistake to be read about; `EINVAL`.
    fn wrong(&self, message: String) -> Errno {
        let mut log = self.log.lock();
        if log.len() >= LOG_MAX {
            log.pop_front();
        }
        log.push_back(message);
        Errno::EINVAL
    }

    /// Sets a parameter: `EBUSY` when none are taken any more, `EINVAL` with a message.
    pub fn set(&self, key: &[u8], value: Param<'_>) -> Result<()> {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Params | Phase::Change) {
            return Err(Errno::EBUSY);
        }
        if let Some((_, flag, set)) = FLAGS.iter().find(|(name, ..)| *name == key) {
            state.flags.set(*flag, *set);
            state.mask |= *flag;
            return Ok(());
        }
        if key == b"source" {
            let Param::Text(text) = value else {
                return Err(self.wrong("e Non-string source\n".to_owned()));
            };
            if state.source.is_some() {
                return Err(self.wrong("e Multiple sources\n".to_owned()));
            }
            state.source = Some(text.to_vec());
            return Ok(());
        }
        let name = String::from_utf8_lossy(key);
        let text = match value {
            Param::Flag => None,
            Param::Text(text) => Some(text),
            // As a text that no option takes.
            Param::Object => Some(b"".as_slice()),
        };
        check_option(self.kind.options, &name, text)
            .map_err(|message| self.wrong(format!("e {}: {message}\n", self.kind.name)))?;
        state.add(key, text)
    }

    /// Makes the instance: `EBUSY` when it is there, else what making says.
    pub fn create(&self, t: &Arc<Task>) -> Result<()> {
        let mut state = self.state.lock();
        if state.phase != Phase::Params {
            return Err(Errno::EBUSY);
        }
        let source = state.source.clone().unwrap_or_default();
        let made = self
            .kind
            .instance(t, (&source, &state.options), state.flags);
        match made {
            Ok(sb) => {
                (state.sb, state.phase) = (Some(sb), Phase::Made);
                Ok(())
            }
            // Without privilege it was not even tried.
            Err(Errno::EPERM) => Err(Errno::EPERM),
            Err(e) => {
                state.phase = Phase::Failed;
                Err(e)
            }
        }
    }

    /// Changes the instance; `EBUSY` when there is none to change.
    pub fn reconfigure(&self, t: &Arc<Task>) -> Result<()> {
        let mut state = self.state.lock();
        let (Phase::Change, Some(sb)) = (state.phase, state.sb.clone()) else {
            return Err(Errno::EBUSY);
        };
        let changed = sb.reconfigure(t, &state.options, (state.flags, state.mask));
        state.clear(if changed.is_ok() {
            Phase::Change
        } else {
            Phase::Failed
        });
        changed
    }

    /// A mount of the instance that stands nowhere (`fsmount(2)`): `EINVAL` before it is
    /// made, `EPERM` where it would show too much, `EBUSY` when it was mounted before.
    pub fn mount(&self, ns: &MountNamespace, flags: MountFlags) -> Result<Arc<MountNamespace>> {
        let mut state = self.state.lock();
        let sb = state.sb.clone().ok_or(Errno::EINVAL)?;
        let locks: MountLocks = self.kind.too_revealing(ns, &sb, flags)?;
        if state.phase != Phase::Made {
            return Err(Errno::EBUSY);
        }
        let source = state.source.take().unwrap_or_else(|| b"none".to_vec());
        state.clear(Phase::Change);
        ns.detached(sb, &source, (flags, locks))
    }
}

impl State {
    fn clear(&mut self, next: Phase) {
        self.phase = next;
        self.options.clear();
        (self.flags, self.mask) = (SuperFlags::empty(), SuperFlags::empty());
    }

    /// Appends an option to the text that the type reads.
    fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let mut option = key.to_vec();
        if let Some(value) = value {
            option.push(b'=');
            option.extend_from_slice(value);
        }
        if option.contains(&b',') || self.options.len() + option.len() >= OPTIONS_MAX {
            return Err(Errno::EINVAL);
        }
        if !self.options.is_empty() {
            self.options.push(b',');
        }
        self.options.append(&mut option);
        Ok(())
    }
}

impl FileOps for FsConfig {
    fn as_any(&self) -> &dyn Any {
        self
    }
    /// One message; `ENODATA` when there is none, `EMSGSIZE` when it is longer than there is
    /// room.
    fn read(&self, _cx: &IoCx<'_>, dst: &mut dyn IoDst, _pos: u64) -> Result<usize> {
        let mut log = self.log.lock();
        let next = log.front().ok_or(Errno::ENODATA)?;
        if next.len() > dst.remaining() {
            return Err(Errno::EMSGSIZE);
        }
        let message = log.pop_front().unwrap_or_default();
        drop(log);
        dst.put(message.as_bytes())
    }
    /// Reads may name a position, which means nothing; there is none to move.
    fn seekable(&self) -> bool {
        true
    }
    fn description(&self) -> String {
        "anon_inode:[fscontext]".to_owned()
    }
}
