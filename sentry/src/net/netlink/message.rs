//! Bytes of netlink messages.

/// Bytes of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;

/// Header fields of a request.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) seq: u32,
    pub(super) port: u32,
}

pub(super) fn u16_at(raw: &[u8], at: usize) -> u16 {
    let bytes = raw.get(at..at + 2).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u16::from_ne_bytes)
}

pub(super) fn u32_at(raw: &[u8], at: usize) -> u32 {
    let bytes = raw.get(at..at + 4).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u32::from_ne_bytes)
}

pub(super) fn align(n: usize) -> usize {
    n.saturating_add(3) & !3
}

/// Appends a message with this body.
pub(super) fn message(out: &mut Vec<u8>, req: Request, kind: u16, flags: u16, body: &[u8]) {
    let len = u32::try_from(HEADER + body.len()).unwrap_or(0);
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&req.seq.to_ne_bytes());
    out.extend_from_slice(&req.port.to_ne_bytes());
    out.extend_from_slice(body);
    out.resize(align(out.len()), 0);
}

/// Appends an attribute.
pub(super) fn attribute(body: &mut Vec<u8>, kind: u16, data: &[u8]) {
    let len = u16::try_from(4 + data.len()).unwrap_or(4);
    body.extend_from_slice(&len.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(data);
    body.resize(align(body.len()), 0);
}

/// The data of an attribute of a request, whose attributes start at `from`.
pub(super) fn find(body: &[u8], from: usize, kind: u16) -> Option<&[u8]> {
    let mut at = from;
    while at + 4 <= body.len() {
        let len = usize::from(u16_at(body, at));
        if u16_at(body, at + 2) & 0x3fff == kind {
            return body.get(at + 4..at + len);
        }
        at += align(len.max(4));
    }
    None
}
