//! Where things stand in a stub, and the words it shares with the Sentry.
//!
//! A stub's address space is the guest's, below [`Layout::base`], and ours above it:
//! code and constants (never writable), the moved vDSO, then the stub's first *chunk* of the
//! control file and further chunks as threads need them. A chunk starts, in the first one
//! only, with the command pages (read-only for the stub) and a scratch page; the rest are
//! thread *areas*: base registers, then the alternate signal stack. Neighbours: `stub`
//! (the code that runs there), `control` (the file behind the chunks).

/// Page size of x86-64.
pub const PAGE: u64 = 4096;
/// End of the 47-bit user address space.
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// Size of the stub region.
pub const REGION: u64 = 0x2000_0000;

/// Code page, from the base.
pub const CODE: u64 = 0;
/// Constants page, from the base; the code refers to it by this distance.
pub const CONSTS: u64 = 0x1000;
/// Bytes of code and constants together.
pub const TEXT_LEN: u64 = 0x3000;
/// The moved vDSO and its data pages.
pub const VDSO: u64 = 0x10000;
/// Room for them.
pub const VDSO_LEN: u64 = 0x30000;
/// First chunk.
pub const CHUNK0: u64 = 0x40000;
/// Further chunks.
pub const EXTRA: u64 = 0x10_0000;
/// Bytes for further chunks.
pub const EXTRA_LEN: u64 = REGION - EXTRA;

/// Size of a chunk of the control file.
pub const CHUNK: u64 = 0x10000;
/// Pages at the start of the first chunk that the stub can only read: commands, then words.
pub const CMD_LEN: u64 = 0x4000;
/// Words the kernel shows to the guest, from the start of the first chunk; one page.
pub const WORDS: u64 = 0x3000;
/// Scratch page, from the start of the first chunk.
pub const SCRATCH: u64 = CMD_LEN;
/// End of the scratch page.
pub const SCRATCH_END: u64 = SCRATCH + PAGE;

/// Command pages: the sequence number, a futex word.
pub const CMD_SEQ: u64 = 0;
/// Command pages: number of operations (`u32`).
pub const CMD_COUNT: u64 = 4;
/// Command pages: the control file offset of a forked child's first chunk.
pub const CMD_CHILD: u64 = 8;
/// Command pages: the guest waits for the end of this batch, and is to be woken (`u32`).
pub const CMD_WAKE: u64 = 16;
/// Command pages: first operation.
pub const CMD_OPS: u64 = 64;
/// Command pages: a `struct msghdr` with what it points to, for sending a listener; read-only
/// like all of them, so that guest code cannot make the mapper send something else.
pub const CMD_MSGHDR: u64 = WORDS - 256;
/// Most operations in a batch; an operation's index must fit a byte.
pub const MAX_OPS: usize = ((CMD_MSGHDR - CMD_OPS) / 64) as usize;

/// Scratch page: a new thread's listener number plus one, or its errno negated; a futex word.
pub const READY: u64 = SCRATCH;
/// Scratch page: the zygote's thread id.
pub const FIRST_TID: u64 = SCRATCH + 8;
/// Scratch page: a `struct msghdr`, its `iovec`, a data byte and the control buffer.
pub const MSGHDR: u64 = SCRATCH + 64;
/// See [`MSGHDR`].
pub const MSG_IOV: u64 = SCRATCH + 128;
/// See [`MSGHDR`].
pub const MSG_DATA: u64 = SCRATCH + 160;
/// See [`MSGHDR`].
pub const MSG_CONTROL: u64 = SCRATCH + 192;
/// Scratch page: a `timespec` for the CPU time of a thread.
pub const CPU_TIME: u64 = SCRATCH + 256;

/// Scratch page: the posted call of a stub with one guest thread (see [`post`]).
pub const POST: u64 = SCRATCH + 1024;

/// Offsets in the words at [`POST`].
pub mod post {
    /// Where the call stands, one of the values below (`u32`).
    pub const STATE: u64 = 0;
    /// The call's number.
    pub const NR: u64 = 8;
    /// Its six arguments.
    pub const ARGS: u64 = 16;
    /// Address after the call's instruction.
    pub const RET: u64 = 64;
    /// The caller's flags as `lahf` and `seto` give them (`u32`).
    pub const FLAGS: u64 = 72;
    /// The call's result.
    pub const RESULT: u64 = 128;
    /// Where a bell stands, one of the values below (`u32`).
    pub const BELL: u64 = 76;
    /// The doorbell's six arguments.
    pub const BELL_ARGS: u64 = 192;
    /// The doorbell's result (`u32`).
    pub const BELL_RESULT: u64 = 136;
    /// Where a register file stands that posting code has saved: as a bell does (`u32`).
    pub const FRAME: u64 = 80;
    /// What it is answered with (`u32`).
    pub const FRAME_RESULT: u64 = 140;
    /// The address to go on at, while registers are loaded.
    pub const JUMP: u64 = 144;
    /// Address of the thread's area.
    pub const AREA: u64 = 240;
    /// The components of extended state to save and load.
    pub const FEATURES: u64 = 248;
    /// A word for flags; a stack pointer stands above it for a moment.
    pub const FLAG_WORD: u64 = 256;

    /// Set by the mapper at the end of a batch that the guest waits for, a futex word.
    pub const RELAYED: u64 = 272;
    /// A change of memory for the guest to make by itself: number.
    pub const OWN_NR: u64 = 280;
    /// Its three arguments.
    pub const OWN_ARGS: u64 = 288;

    /// The signal handler rings, or the registers are saved; may be withdrawn by the guest.
    pub const RUNG: u32 = 1;
    /// A worker serves the bell.
    pub const HEARD: u32 = 2;
    /// The result is there.
    pub const ANSWERED: u32 = 3;

    /// Nothing is posted.
    pub const FREE: u32 = 0;
    /// Posted by the guest; may be withdrawn by it.
    pub const POSTED: u32 = 1;
    /// A worker serves it.
    pub const TAKEN: u32 = 2;
    /// The result is there.
    pub const DONE: u32 = 3;
    /// The guest shall wait for the result in the host's kernel.
    pub const WAIT: u32 = 4;
    /// The guest shall make the call itself.
    pub const REFUSED: u32 = 5;
    /// The result is there, and the guest shall stop with its registers before it takes it.
    pub const FETCH: u32 = 6;
    /// The result is there; first the guest has the mapper run the batch that is written.
    pub const RELAY: u32 = 7;
    /// The result is there; first the guest makes the change of memory that the page says.
    pub const OWN: u32 = 8;
    /// How often the guest looks before it withdraws or waits in the kernel.
    pub const LOOKS: u32 = 1500;
}

/// Thread area: the FS base, then the GS base.
pub const AREA_FS: u64 = 0;
/// See [`AREA_FS`].
pub const AREA_GS: u64 = 8;
/// Thread area: address of the `rseq` area that a new thread registers, 0 for none.
pub const AREA_RSEQ: u64 = 16;
/// Thread area: its length (`u32`).
pub const AREA_RSEQ_LEN: u64 = 24;
/// Thread area: its signature (`u32`).
pub const AREA_RSEQ_SIG: u64 = 28;
/// Thread area: a `timespec`, the CPU time of a thread that is about to exit.
pub const AREA_CPU: u64 = 32;
/// Thread area: where the alternate signal stack starts.
pub const AREA_STACK: u64 = 64;
/// Thread area: the `ucontext` a new thread starts from.
pub const AREA_BIRTH: u64 = 128;
/// Thread area: the extended state it starts from.
pub const AREA_BIRTH_FP: u64 = 1024;

/// Constants page: mask that leads from a stack pointer to its thread area.
pub const CONST_AREA_MASK: u64 = CONSTS;
/// Constants page: the Sentry's process id.
pub const CONST_PARENT: u64 = CONSTS + 8;
/// Constants page: `struct sock_fprog` of the guest filter.
pub const CONST_GUEST_PROG: u64 = CONSTS + 16;
/// Constants page: `struct sock_fprog` of the mapper filter.
pub const CONST_MAPPER_PROG: u64 = CONSTS + 32;
/// Constants page: full signal mask.
pub const CONST_FULL_MASK: u64 = CONSTS + 48;
/// Constants page: zeros (capset data, rlimit, default signal action).
pub const CONST_ZEROS: u64 = CONSTS + 64;
/// Constants page: capset header.
pub const CONST_CAP_HEADER: u64 = CONSTS + 128;
/// Constants page: our signal action.
pub const CONST_ACTION: u64 = CONSTS + 160;
/// Constants page: the stubs' process name.
pub const CONST_NAME: u64 = CONSTS + 192;
/// Constants page: the reply table, 512 words of 16 bits.
pub const CONST_TABLE: u64 = CONSTS + 1024;
/// Constants page: the filters' instructions.
pub const CONST_BPF: u64 = CONSTS + 2048;

/// The stub's file descriptors: the memory file.
pub const FD_MEMORY: u64 = 0;
/// The pipe for the mapper's replies.
pub const FD_REPLY: u64 = 1;
/// The socket on which it is given descriptors.
pub const FD_SOCKET: u64 = 2;
/// The control file.
pub const FD_CONTROL: u64 = 3;
/// The lowest free number: a received file, or a new listener.
pub const FD_FREE: u64 = 4;

/// Most files given to a stub at once; their control message must end before [`CPU_TIME`].
pub const MAX_FILES: usize = 8;

/// Reserved system call number of the doorbell.
pub const DOORBELL: u32 = 0x1fff_ff01;

/// Reserved system call number with which the guest waits for the result of a posted call.
pub const WAITBELL: u32 = 0x1fff_ff02;
/// Index of the word that says where calls are posted: 0 while nobody looks for them.
pub const POST_WORD: u64 = crate::WORDS as u64 - 1;

/// Sizes that depend on the host.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Where the stub region starts; guest memory ends here.
    pub base: u64,
    /// Bytes of a thread area, a power of two.
    pub area: u64,
}

impl Layout {
    /// Chooses the size of thread areas for a host whose signal frames need `min_stack`
    /// bytes: a frame at the top and extended state to start from below it must not meet.
    /// `None` when they are too big.
    #[must_use]
    pub fn area_for(min_stack: u64) -> Option<u64> {
        let need = min_stack.checked_mul(2)?.checked_add(AREA_BIRTH_FP)?;
        [0x2000, 0x4000, 0x8000]
            .into_iter()
            .find(|&size| need <= size)
    }

    /// Where areas start in a stub's first chunk.
    fn first_areas_at(&self) -> u64 {
        SCRATCH_END.next_multiple_of(self.area)
    }

    /// Thread areas in the first chunk.
    fn first_areas(&self) -> u64 {
        (CHUNK - self.first_areas_at()) / self.area
    }

    /// In which of a stub's chunks thread area `index` lies, and at which offset in it.
    #[must_use]
    pub fn place(&self, index: u32) -> (usize, u64) {
        let index = u64::from(index);
        if index < self.first_areas() {
            return (0, self.first_areas_at() + index * self.area);
        }
        let rest = index - self.first_areas();
        let per = CHUNK / self.area;
        (
            usize::try_from(rest / per).map_or(usize::MAX, |n| n.saturating_add(1)),
            rest % per * self.area,
        )
    }

    /// The stub address of one of its chunks.
    #[must_use]
    pub fn chunk_addr(&self, chunk: usize) -> u64 {
        match chunk.checked_sub(1) {
            None => self.base + CHUNK0,
            Some(extra) => self.base + EXTRA + (extra as u64) * CHUNK,
        }
    }

    /// Most threads in a stub.
    #[must_use]
    pub fn max_threads(&self) -> u32 {
        let extra = EXTRA_LEN / CHUNK * (CHUNK / self.area);
        u32::try_from(self.first_areas() + extra).unwrap_or(u32::MAX)
    }
}

/// A host system call for the mapper to make.
#[derive(Clone, Copy, Debug, Default)]
pub struct Op {
    /// Number, six arguments, flags.
    pub words: [u64; 8],
}

impl Op {
    /// An operation whose failure ends the batch.
    #[must_use]
    pub fn new(nr: i64, args: [u64; 6]) -> Self {
        let [a, b, c, d, e, f] = args;
        Self {
            words: [nr.cast_unsigned(), a, b, c, d, e, f, 0],
        }
    }

    /// An operation that may fail.
    #[must_use]
    pub fn lenient(nr: i64, args: [u64; 6]) -> Self {
        let mut op = Self::new(nr, args);
        op.words[7] = 1;
        op
    }
}

/// Argument 5 of a mapper's clone: the child is a guest thread.
pub const CHILD_THREAD: u64 = 1;
/// Argument 5 of a mapper's clone: the child is a new stub.
pub const CHILD_STUB: u64 = 2;
/// Argument 5 of a mapper's clone: the child is a guest thread that will be traced.
pub const CHILD_TRACED: u64 = 3;
