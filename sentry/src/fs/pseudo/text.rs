//! Made-up text files.

use std::any::Any;
use std::sync::Arc;

use abi::Errno;

use super::Node;
use crate::Result;
use crate::creds::Creds;
use crate::fs::file::{FileOps, IoCx, OpenFlags, Whence};
use crate::fs::vfs::{Attr, FileType, Inode, InodeExtra, SetAttr};
use crate::io::{IoDst, IoSrc};
use crate::sync::Mutex;
use crate::task::Task;

/// Longest text a write may bring.
const MAX_WRITE: usize = 1 << 16;

/// Makes the text of a file, for a reader.
pub trait TextSource: Send + Sync + 'static {
    /// The whole text now.
    fn text(&self, reader: Option<&Arc<Task>>) -> Result<Vec<u8>>;
    /// Takes a written text; `EACCES`-like errors by default come from the permission bits.
    fn write(&self, _writer: Option<&Arc<Task>>, _text: &[u8]) -> Result<()> {
        Err(Errno::EIO)
    }
    /// The same where it matters who opened the file.
    fn write_opened(
        &self,
        writer: Option<&Arc<Task>>,
        _opener: Option<&Arc<Creds>>,
        text: &[u8],
    ) -> Result<()> {
        self.write(writer, text)
    }
}

impl<F> TextSource for F
where
    F: Fn(Option<&Arc<Task>>) -> Result<Vec<u8>> + Send + Sync + 'static,
{
    fn text(&self, reader: Option<&Arc<Task>>) -> Result<Vec<u8>> {
        self(reader)
    }
}

/// A source that can be written: a reader and a writer.
pub struct Write<R, W>(pub R, pub W);

impl<R, W> TextSource for Write<R, W>
where
    R: Fn(Option<&Arc<Task>>) -> Result<Vec<u8>> + Send + Sync + 'static,
    W: Fn(Option<&Arc<Task>>, &[u8]) -> Result<()> + Send + Sync + 'static,
{
    fn text(&self, reader: Option<&Arc<Task>>) -> Result<Vec<u8>> {
        (self.0)(reader)
    }
    fn write(&self, writer: Option<&Arc<Task>>, text: &[u8]) -> Result<()> {
        (self.1)(writer, text)
    }
}

/// A text file.
pub struct Text<S> {
    node: Node,
    source: S,
}

impl<S: TextSource> Text<S> {
    /// A file whose content `source` makes.
    pub fn new(node: Node, source: S) -> Arc<Text<S>> {
        Arc::new(Text { node, source })
    }
}

impl<S: TextSource> Inode for Text<S> {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn kind(&self) -> FileType {
        FileType::Regular
    }
    fn attr(&self) -> Result<Attr> {
        Ok(self.node.attr(FileType::Regular, 1, 0))
    }
    fn set_attr(&self, set: &SetAttr) -> Result<()> {
        if set.size.is_some() {
            // Truncation, with what goes with it, is accepted and means nothing, as in proc
            // and sysfs.
            return Ok(());
        }
        self.node.keeps(set)
    }
    fn open(self: Arc<Self>, _flags: OpenFlags, t: Option<&Arc<Task>>) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(OpenText {
            file: self,
            opener: t.map(|t| t.creds()),
            text: Mutex::default(),
        }))
    }
    fn extra(&self) -> &InodeExtra {
        &self.node.extra
    }
    fn dev(&self) -> u64 {
        self.node.dev
    }
}

/// An open text; made anew whenever it is read from the start.
struct OpenText<S> {
    file: Arc<Text<S>>,
    opener: Option<Arc<Creds>>,
    text: Mutex<Option<Arc<[u8]>>>,
}

impl<S: TextSource> FileOps for OpenText<S> {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read(&self, cx: &IoCx<'_>, dst: &mut dyn IoDst, pos: u64) -> Result<usize> {
        let cached = if pos == 0 {
            None
        } else {
            self.text.lock().clone()
        };
        let text = match cached {
            Some(text) => text,
            None => {
                let made: Arc<[u8]> = self.file.source.text(cx.task)?.into();
                *self.text.lock() = Some(made.clone());
                made
            }
        };
        let rest = usize::try_from(pos)
            .ok()
            .and_then(|p| text.get(p..))
            .unwrap_or(&[]);
        dst.put(rest.get(..dst.remaining().min(rest.len())).unwrap_or(&[]))
    }
    fn write(&self, cx: &IoCx<'_>, src: &mut dyn IoSrc, _pos: u64) -> Result<usize> {
        let len = src.remaining();
        if len > MAX_WRITE {
            return Err(Errno::EINVAL);
        }
        let mut text = vec![0; len];
        let n = src.take(&mut text)?;
        text.truncate(n);
        let opener = self.opener.as_ref();
        self.file.source.write_opened(cx.task, opener, &text)?;
        Ok(n)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn seek(&self, _cx: &IoCx<'_>, cur: u64, offset: i64, whence: Whence) -> Result<u64> {
        super::seek(cur, offset, whence)
    }
}
