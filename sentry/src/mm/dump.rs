//! Which memory a core dump has (`core(5)`).

use super::report::MapLine;
use super::state::Mm;
use super::vma::{MapProt, Object, Vma, VmaFlags};

/// Bits of `/proc/PID/coredump_filter`.
const ANON_PRIVATE: u32 = 1;
const ANON_SHARED: u32 = 1 << 1;
const FILE_PRIVATE: u32 = 1 << 2;
const FILE_SHARED: u32 = 1 << 3;
const ELF_HEADERS: u32 = 1 << 4;

/// A mapping of a dump.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The mapping.
    pub map: MapLine,
    /// Bytes from its start that are dumped; 0 for none.
    pub dumped: u64,
    /// What was never touched reads as zero and is left out.
    pub sparse: bool,
}

impl Mm {
    /// All mappings, and how much of each is dumped.
    pub fn segments(&self, filter: u32) -> Vec<Segment> {
        let lines = self.map_lines(false);
        let state = self.state.read();
        let segment = |map: MapLine| {
            let vma = state.vmas.find(map.start);
            // The time functions are no mapping of the guest's own and always dumped.
            let (dumped, sparse) = vma.map_or((map.end - map.start, false), |v| {
                let own = state.pmas.within(v.start, v.end).next().is_some();
                (dumped(v, own, filter), matches!(v.object, Object::Anon))
            });
            Segment {
                map,
                dumped,
                sparse,
            }
        };
        lines.into_iter().map(segment).collect()
    }
}

/// Bytes of a mapping that are dumped; `own`: it has private pages.
fn dumped(v: &Vma, own: bool, filter: u32) -> u64 {
    let wants = |bit| filter & bit != 0;
    if v.flags.contains(VmaFlags::DONTDUMP) || v.prot.is_empty() && !own {
        return 0;
    }
    let whole = match (v.shared(), v.file().is_some()) {
        (false, false) => wants(ANON_PRIVATE),
        (false, true) => own && wants(ANON_PRIVATE) || wants(FILE_PRIVATE),
        (true, false) => wants(ANON_SHARED),
        (true, true) => {
            let anonymous = v
                .file()
                .is_some_and(|f| f.file().identity().path.is_empty());
            wants(if anonymous { ANON_SHARED } else { FILE_SHARED })
        }
    };
    let header =
        wants(ELF_HEADERS) && v.file().is_some() && v.offset == 0 && v.prot.contains(MapProt::READ);
    match (whole, header) {
        (true, _) => v.len(),
        (false, true) => v.len().min(abi::PAGE_SIZE),
        (false, false) => 0,
    }
}
