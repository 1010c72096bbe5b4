//! A process's standard descriptors: the FIFOs that containerd and its clients read and write.
//!
//! The container gets the FIFOs of its outputs themselves; its input is copied. The server
//! holds the other ends open ([`Held`]), so that a client that goes away neither ends the container's input
//! nor breaks its output, and lets them go when the process has ended.

use std::fs::File;
use std::io::PipeWriter;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::process::Stdio;
use std::time::{Duration, Instant};

use containerd_shim_protos::ttrpc::Code;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::fault::{Fault, Result};

/// How long a client may take to open its end.
const LIMIT: Duration = Duration::from_secs(20);

/// Where a process's standard descriptors lead, as a request names it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// A terminal, whose input and output they are.
    pub terminal: bool,
    /// Path of a FIFO; empty for none.
    pub stdin: String,
    /// Path of a FIFO, `file://PATH`, or empty.
    pub stdout: String,
    /// As `stdout`.
    pub stderr: String,
}

/// The ends that the server keeps.
#[derive(Debug, Default)]
pub struct Held {
    /// The writing end of standard input: the process sees no end of file before it is closed.
    pub stdin: Option<File>,
    /// Reading ends of the outputs.
    pub outputs: Vec<File>,
}

/// Opens both outputs for a command.
pub fn outputs(names: &Names, held: &mut Held) -> Result<[Stdio; 2]> {
    Ok([
        output(&names.stdout, held)?.map_or_else(Stdio::null, Stdio::from),
        output(&names.stderr, held)?.map_or_else(Stdio::null, Stdio::from),
    ])
}

/// Copies a process's input into its pipe, from when a client has opened it until the last one
/// has closed it: clients whose input is short do not ask to close it.
pub fn feed(path: &str, mut into: PipeWriter) {
    let path = path.to_owned();
    std::thread::spawn(move || {
        let mut file = File::open(path)?;
        std::io::copy(&mut file, &mut into)
    });
}

/// Opens the reading end of a process's input, and its other end to be held.
pub fn input(path: &str, held: &mut Held) -> Result<Option<File>> {
    if path.is_empty() {
        return Ok(None);
    }
    let wrong = |e: std::io::Error| Fault::from(e).context(&format!("opening {path}"));
    let nonblocking = |write: bool| {
        File::options()
            .read(!write)
            .write(write)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)
            .map_err(wrong)
    };
    let file = nonblocking(false)?;
    if is_fifo(&file)? {
        held.stdin = Some(nonblocking(true)?);
    }
    blocking(file).map(Some)
}

/// Opens the writing end of an output, and its other end to be held.
pub fn output(name: &str, held: &mut Held) -> Result<Option<File>> {
    if name.is_empty() {
        return Ok(None);
    }
    let path = match name.split_once("://") {
        None => name,
        Some(("fifo", path)) => path,
        Some(("file", path)) => {
            let file = File::options().append(true).create(true).open(path);
            return file
                .map(Some)
                .map_err(|e| Fault::from(e).context(&format!("opening {path}")));
        }
        Some((scheme, _)) => {
            let text = format!("output to {scheme}:// is not supported");
            return Err(Fault::coded(Code::UNIMPLEMENTED, text));
        }
    };
    let file = writing_end(path).map_err(|e| e.context(&format!("opening {path}")))?;
    if is_fifo(&file)? {
        let other = File::options()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)?;
        held.outputs.push(other);
    }
    blocking(file).map(Some)
}

/// Waits for the client to open the reading end first: one that came after all ends were
/// closed again would wait for ever.
fn writing_end(path: &str) -> Result<File> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let opened = File::options()
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path);
        match opened {
            Ok(file) => return Ok(file),
            Err(e) if e.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                if start.elapsed() > LIMIT {
                    return Err(Fault::new("nobody reads it"));
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

fn is_fifo(file: &File) -> Result<bool> {
    Ok(file.metadata()?.file_type().is_fifo())
}

/// The container's own descriptors block.
fn blocking(file: File) -> Result<File> {
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(File::from(OwnedFd::from(file)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn fifo(dir: &std::path::Path, name: &str) -> String {
        let path = dir.join(name);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        path.display().to_string()
    }

    #[test]
    fn output_outlives_its_reader() {
        let dir = tempfile::tempdir().unwrap();
        let path = fifo(dir.path(), "out");
        let early = path.clone();
        let reader = std::thread::spawn(move || File::open(early).unwrap());
        let mut held = Held::default();
        let mut out = output(&path, &mut held).unwrap().unwrap();
        drop(reader.join().unwrap());
        out.write_all(b"kept").unwrap();
        let mut late = File::open(&path).unwrap();
        drop((out, held));
        let mut text = String::new();
        late.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept");
    }

    #[test]
    fn input_ends_when_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = fifo(dir.path(), "in");
        let mut held = Held::default();
        let mut file = input(&path, &mut held).unwrap().unwrap();
        let mut client = File::options().write(true).open(&path).unwrap();
        client.write_all(b"some").unwrap();
        drop(client);
        let mut four = [0; 4];
        file.read_exact(&mut four).unwrap();
        held.stdin = None;
        assert_eq!(file.read(&mut four).unwrap(), 0);
    }

    #[test]
    fn files_and_other_schemes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let name = format!("file://{}", path.display());
        let mut held = Held::default();
        for _ in 0..2 {
            let mut file = output(&name, &mut held).unwrap().unwrap();
            file.write_all(b"x").unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"xx");
        let error = output("binary:///bin/cat", &mut held).unwrap_err();
        assert_eq!(error.code, Code::UNIMPLEMENTED);
    }
}
