//! The seccomp profile of a configuration as a program (`linux.seccomp`, `seccomp(2)`).
//!
//! What a profile means is what libseccomp and runc make of it: names this kernel does not
//! know are ignored, an unconditional rule beats conditional ones of the same call, and
//! calls newer than any the profile names fail with `ENOSYS` where it would refuse them.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall, Spec,
};
use sentry::seccomp::bpf::{Insn, MAX_INSNS};

use crate::cli::Failure;

const LD_ABS: u16 = 0x20;
const AND: u16 = 0x54;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const RET: u16 = 0x06;
/// Offsets in `struct seccomp_data`.
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;
/// `AUDIT_ARCH_X86_64`, and the bit of x32 calls.
const X86_64: u32 = 0xc000_003e;
const X32: u32 = 0x4000_0000;
const KILL: u32 = 0;
const ERRNO_ENOSYS: u32 = 0x0005_0000 | libc::ENOSYS as u32;
/// Stands for "this rule does not match" until the rule's length is known.
const MISS: u8 = u8::MAX;

/// What is to happen at one call.
#[derive(Default)]
struct Rules<'a> {
    always: Option<u32>,
    when: Vec<(Vec<&'a LinuxSeccompArg>, u32)>,
}

/// The program of the configuration's profile; empty without one.
pub fn program(spec: &Spec) -> Result<Vec<Insn>, Failure> {
    let profile = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
    profile.map_or_else(|| Ok(Vec::new()), compile)
}

fn fail<T>(what: &str) -> Result<T, Failure> {
    Err(Failure::new(
        1,
        format!("unable to init seccomp: error loading seccomp filter into kernel: {what}"),
    ))
}

/// The return value of an action.
fn value(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, Failure> {
    use LinuxSeccompAction as A;
    let errno = errno.unwrap_or(libc::EPERM as u32) & 0xffff;
    Ok(match action {
        A::ScmpActKill | A::ScmpActKillThread => KILL,
        A::ScmpActKillProcess => 0x8000_0000,
        A::ScmpActTrap => 0x0003_0000,
        A::ScmpActErrno => 0x0005_0000 | errno,
        A::ScmpActTrace => 0x7ff0_0000 | errno,
        A::ScmpActLog => 0x7ffc_0000,
        A::ScmpActAllow => 0x7fff_0000,
        A::ScmpActNotify => return fail("SCMP_ACT_NOTIFY is not supported"),
    })
}

/// The number of a call by its name.
fn number(name: &str) -> Option<u32> {
    let at = syscalls::table::TABLE.iter().position(|r| r.name == name)?;
    u32::try_from(at).ok().filter(|_| name != "unused")
}

fn compile(profile: &LinuxSeccomp) -> Result<Vec<Insn>, Failure> {
    let default = value(profile.default_action(), profile.default_errno_ret())?;
    let listed = profile.syscalls().as_deref().unwrap_or_default();
    let mut rules = BTreeMap::new();
    for entry in listed {
        add(&mut rules, entry, default)?;
    }
    let mut out = vec![
        stmt(LD_ABS, ARCH),
        jump(JEQ, X86_64, 1, 0),
        stmt(RET, KILL),
        stmt(LD_ABS, NR),
        jump(JGE, X32, 0, 1),
        stmt(RET, KILL),
    ];
    let newest = listed
        .iter()
        .flat_map(|e| e.names())
        .filter_map(|n| number(n))
        .max();
    let allows = matches!(
        profile.default_action(),
        LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog
    );
    if let (Some(newest), false) = (newest, allows) {
        out.extend([jump(JGT, newest, 0, 1), stmt(RET, ERRNO_ENOSYS)]);
    }
    for (nr, rules) in &rules {
        let body = body(rules, default);
        match u8::try_from(body.len()) {
            Ok(skip) => out.push(jump(JEQ, *nr, 0, skip)),
            Err(_) => out.extend([jump(JEQ, *nr, 1, 0), stmt(JA, body.len() as u32)]),
        }
        out.extend(body);
    }
    out.push(stmt(RET, default));
    if out.len() > MAX_INSNS {
        return fail("the profile is too long");
    }
    Ok(out)
}

fn add<'a>(
    rules: &mut BTreeMap<u32, Rules<'a>>,
    entry: &'a LinuxSyscall,
    default: u32,
) -> Result<(), Failure> {
    let action = value(entry.action(), entry.errno_ret())?;
    if action == default {
        return Ok(());
    }
    let args = entry.args().as_deref().unwrap_or_default();
    if args.iter().any(|a| a.index() > 5) {
        return fail("a syscall has no more than six arguments");
    }
    let twice = |a: &LinuxSeccompArg| args.iter().filter(|b| b.index() == a.index()).count() > 1;
    for nr in entry.names().iter().filter_map(|n| number(n)) {
        let rules: &mut Rules<'a> = rules.entry(nr).or_default();
        if args.is_empty() {
            rules.always.get_or_insert(action);
        } else if args.iter().any(twice) {
            // Several conditions on one argument are alternatives.
            rules.when.extend(args.iter().map(|a| (vec![a], action)));
        } else {
            rules.when.push((args.iter().collect(), action));
        }
    }
    Ok(())
}

/// What follows once the call is known; it always returns.
fn body(rules: &Rules<'_>, default: u32) -> Vec<Insn> {
    if let Some(action) = rules.always {
        return vec![stmt(RET, action)];
    }
    let mut out = Vec::new();
    for (conditions, action) in &rules.when {
        let mut rule: Vec<Insn> = conditions.iter().flat_map(|c| condition(c)).collect();
        rule.push(stmt(RET, *action));
        let length = rule.len();
        for (at, i) in rule.iter_mut().enumerate() {
            // Six conditions of six instructions are far below what a jump can skip.
            let miss = u8::try_from(length - at - 1).unwrap_or(MISS);
            for way in [&mut i.jt, &mut i.jf] {
                if *way == MISS {
                    *way = miss;
                }
            }
        }
        out.extend(rule);
    }
    out.push(stmt(RET, default));
    out
}

/// Goes on after itself if the condition holds, else to [`MISS`].
fn condition(c: &LinuxSeccompArg) -> Vec<Insn> {
    use LinuxSeccompOperator as Op;
    let at = ARGS + 8 * u32::try_from(c.index()).unwrap_or(0);
    let (low, high) = (stmt(LD_ABS, at), stmt(LD_ABS, at + 4));
    let halves = |v: u64| ((v & 0xffff_ffff) as u32, (v >> 32) as u32);
    let (lo, hi) = halves(c.value());
    match c.op() {
        Op::ScmpCmpEq => vec![high, jump(JEQ, hi, 0, MISS), low, jump(JEQ, lo, 0, MISS)],
        Op::ScmpCmpNe => vec![high, jump(JEQ, hi, 0, 2), low, jump(JEQ, lo, MISS, 0)],
        Op::ScmpCmpGt | Op::ScmpCmpGe => {
            let last = if c.op() == Op::ScmpCmpGt { JGT } else { JGE };
            vec![
                high,
                jump(JGT, hi, 3, 0),
                jump(JEQ, hi, 0, MISS),
                low,
                jump(last, lo, 0, MISS),
            ]
        }
        Op::ScmpCmpLt | Op::ScmpCmpLe => {
            let last = if c.op() == Op::ScmpCmpLt { JGE } else { JGT };
            vec![
                high,
                jump(JGT, hi, MISS, 0),
                jump(JEQ, hi, 0, 2),
                low,
                jump(last, lo, MISS, 0),
            ]
        }
        Op::ScmpCmpMaskedEq => {
            let (want_lo, want_hi) = halves(c.value_two().unwrap_or(0));
            vec![
                high,
                stmt(AND, hi),
                jump(JEQ, want_hi, 0, MISS),
                low,
                stmt(AND, lo),
                jump(JEQ, want_lo, 0, MISS),
            ]
        }
    }
}

fn stmt(code: u16, k: u32) -> Insn {
    Insn {
        code,
        k,
        ..Insn::default()
    }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Insn {
    Insn { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentry::seccomp::bpf::{Data, Program};

    fn decide(profile: &str, nr: i32, args: [u64; 6]) -> u32 {
        let profile: LinuxSeccomp = serde_json::from_str(profile).expect("profile");
        let program = Program::new(compile(&profile).expect("compiles")).expect("valid");
        program.run(&Data {
            nr,
            arch: X86_64,
            args,
            ..Data::default()
        })
    }

    #[test]
    fn rules_decide_as_the_profile_says() {
        let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"syscalls":[
            {"names":["read","no_such_call","openat2"],"action":"SCMP_ACT_ALLOW"},
            {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
            {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
                {"index":0,"value":0,"op":"SCMP_CMP_EQ"},
                {"index":0,"value":131072,"op":"SCMP_CMP_EQ"}]},
            {"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[
                {"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]},
            {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[
                {"index":0,"value":40,"op":"SCMP_CMP_NE"}]},
            {"names":["lseek"],"action":"SCMP_ACT_LOG","args":[
                {"index":1,"value":4294967296,"op":"SCMP_CMP_GE"},
                {"index":2,"value":5,"op":"SCMP_CMP_LT"}]}]}"#;
        let (allow, eperm) = (0x7fff_0000, 0x5_0001);
        let one = |nr, a: u64| decide(profile, nr, [a, 0, 0, 0, 0, 0]);
        assert_eq!(one(0, 7), allow);
        assert_eq!(one(1, 7), eperm);
        assert_eq!(one(435, 0), 0x5_0026);
        assert_eq!(one(450, 0), ERRNO_ENOSYS);
        assert_eq!(one(135, 0), allow);
        assert_eq!(one(135, 131_072), allow);
        assert_eq!(one(135, 1), eperm);
        assert_eq!(one(56, 17), allow);
        assert_eq!(one(56, 0x1000_0000), eperm);
        assert_eq!(one(41, 2), allow);
        assert_eq!(one(41, 40), eperm);
        assert_eq!(one(41, 1 << 32 | 40), allow);
        let seek = |a, b| decide(profile, 8, [0, a, b, 0, 0, 0]);
        assert_eq!(seek(1 << 32, 4), 0x7ffc_0000);
        assert_eq!(seek(1 << 33, 4), 0x7ffc_0000);
        assert_eq!(seek((1 << 32) - 1, 4), eperm);
        assert_eq!(seek(1 << 32, 5), eperm);
    }
}
