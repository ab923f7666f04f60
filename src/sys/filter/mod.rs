//! seccomp filters as the kernel takes them: a program of its packet filter machine that judges a system call by its
//! number. Every connection installs two, and the kernel runs each over all numbers there are while it does, so they
//! are small and decide by bisection: a list of comparisons costs a login three times as much.

use std::io;

use libc::{sock_filter, sock_fprog};
use nix::errno::Errno;

use super::sandbox::SandboxError;

mod calls;

pub(super) use calls::{account, converse, relay};

/// Kernel constant of the processor that this is compiled for; a 64-bit kernel has the calls of 32-bit programs too.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else {
    // riscv64
    0xc000_00f3
};

// linux/bpf_common.h: load a word, jump if equal, greater or equal, any bit set; return.
const LOAD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER_EQUAL: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`: number, architecture, and the low words of arguments.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const PROCESS: u32 = 16;
const SIGNAL: u32 = 16 + 8;
const PROTECTION: u32 = 16 + 2 * 8;
const FLAGS: u32 = 16 + 3 * 8;

/// From here on calls are those of the x32 convention.
const X32: u32 = 0x4000_0000;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It ends the process.
    Kill,
    /// It fails with EPERM.
    Refuse,
    /// It is made.
    Allow,
    /// mmap: made for memory, neither executable nor with a file behind it; else the process ends.
    Memory,
    /// kill: made with signal 0, which asks whether a process is there; else it fails with EPERM.
    Presence,
    /// Calls whose first argument is a process: made for the calling one, whose number may be given as 0; else they
    /// fail with EPERM.
    Itself,
}

/// A filter's rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy<'a> {
    /// The calls that are named.
    pub(super) named: &'a [(libc::c_long, Verdict)],
    /// All others.
    pub(super) others: Verdict,
    /// Calls by the conventions of other processors, whose numbers mean something else.
    pub(super) foreign: Verdict,
    /// The process that will be under the filter, for [`Verdict::Itself`].
    pub(super) own: u32,
    /// `SECCOMP_FILTER_FLAG_…`; not used where the kernel does not know them.
    pub(super) flags: libc::c_ulong,
}

/// Where a jump goes.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// To the instruction with this index, as small as the length of a filter.
    Index(u16),
    /// To the end that does this.
    End(Verdict),
}

/// An instruction whose jumps are still to be measured.
#[derive(Debug, Clone, Copy)]
struct Jump {
    number: u32,
    yes: Target,
    no: Target,
}

/// From this number on, up to the next region, every call gets the verdict.
type Region = (u32, Verdict);

/// The numbers of all system calls, cut where the verdict changes. `named` in any order; of two rules for
/// one call the first counts.
fn regions(named: &[(u32, Verdict)], others: Verdict, foreign: Verdict) -> Vec<Region> {
    let mut named = named.to_vec();
    named.sort_by_key(|&(call, _)| call);
    named.dedup_by_key(|&mut (call, _)| call);
    let mut regions: Vec<Region> = vec![(0, others)];
    for (call, verdict) in named {
        match regions.last_mut() {
            Some(last) if last.0 == call => last.1 = verdict,
            _ => regions.push((call, verdict)),
        }
        regions.push((call.saturating_add(1), others));
    }
    regions.push((X32, foreign));
    // Neighbours with the same verdict are one region.
    regions.dedup_by_key(|&mut (_, verdict)| verdict);
    regions
}

/// Adds the search for the region that a number lies in; says where it begins.
fn search(regions: &[Region], code: &mut Vec<Jump>) -> Target {
    let middle = regions.len() / 2;
    let (low, high) = regions.split_at_checked(middle).unwrap_or_default();
    let Some(&(number, verdict)) = high.first() else {
        // There is at least one region.
        return Target::End(Verdict::Kill);
    };
    if low.is_empty() {
        return Target::End(verdict);
    }
    let ends = Target::End(Verdict::Kill);
    let index = code.len();
    let Ok(this) = u16::try_from(index) else {
        // Longer than a filter may be, which is found when it is installed.
        return ends;
    };
    code.push(Jump {
        number,
        yes: ends,
        no: ends,
    });
    let no = search(low, code);
    let yes = search(high, code);
    if let Some(jump) = code.get_mut(index) {
        *jump = Jump { number, yes, no };
    }
    Target::Index(this)
}

const fn instruction(code: u16, yes: u8, no: u8, operand: u32) -> sock_filter {
    sock_filter {
        code,
        jt: yes,
        jf: no,
        k: operand,
    }
}

/// The filter of `policy`.
fn program(policy: &Policy<'_>) -> Option<Vec<sock_filter>> {
    let named: Vec<(u32, Verdict)> = policy
        .named
        .iter()
        .map(|&(call, verdict)| Some((u32::try_from(call).ok()?, verdict)))
        .collect::<Option<_>>()?;
    let mut search_code = Vec::new();
    let first = search(
        &regions(&named, policy.others, policy.foreign),
        &mut search_code,
    );
    if let Target::End(_) = first {
        // One verdict for all: the ends follow, and the first of them must not be walked into.
        search_code.push(Jump {
            number: 0,
            yes: first,
            no: first,
        });
    }
    let executable = libc::PROT_EXEC.unsigned_abs();
    let anonymous = libc::MAP_ANONYMOUS.unsigned_abs();
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    // The verdicts' code, one behind the other behind the search.
    let end = [
        // Memory
        instruction(LOAD, 0, 0, PROTECTION),
        instruction(IF_ANY_BIT, 7, 0, executable),
        instruction(LOAD, 0, 0, FLAGS),
        instruction(IF_ANY_BIT, 7, 5, anonymous),
        // Presence
        instruction(LOAD, 0, 0, SIGNAL),
        instruction(IF_EQUAL, 5, 4, 0),
        // Itself
        instruction(LOAD, 0, 0, PROCESS),
        instruction(IF_EQUAL, 3, 0, 0),
        instruction(IF_EQUAL, 2, 1, policy.own),
        // Kill, Refuse, Allow
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        instruction(RETURN, 0, 0, refuse),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let foreign = match policy.foreign {
        Verdict::Refuse => refuse,
        _ => libc::SECCOMP_RET_KILL_PROCESS,
    };
    let start = [
        instruction(LOAD, 0, 0, ARCH),
        instruction(IF_EQUAL, 1, 0, ARCHITECTURE),
        instruction(RETURN, 0, 0, foreign),
        instruction(LOAD, 0, 0, NUMBER),
    ];
    let mut code = Vec::with_capacity(start.len() + search_code.len() + end.len());
    code.extend_from_slice(&start);
    for (index, jump) in search_code.iter().enumerate() {
        // Offsets count from the instruction after the jump.
        let offset = |target| {
            let target = match target {
                Target::Index(target) => usize::from(target),
                Target::End(Verdict::Memory) => search_code.len(),
                Target::End(Verdict::Presence) => search_code.len() + 4,
                Target::End(Verdict::Itself) => search_code.len() + 6,
                Target::End(Verdict::Kill) => search_code.len() + 9,
                Target::End(Verdict::Refuse) => search_code.len() + 10,
                Target::End(Verdict::Allow) => search_code.len() + 11,
            };
            u8::try_from(target.checked_sub(index + 1)?).ok()
        };
        let (yes, no) = (offset(jump.yes)?, offset(jump.no)?);
        code.push(instruction(IF_GREATER_EQUAL, yes, no, jump.number));
    }
    code.extend_from_slice(&end);
    Some(code)
}

/// A filter, ready to be installed.
#[derive(Debug)]
pub(super) struct Program {
    code: Vec<sock_filter>,
    flags: libc::c_ulong,
}

impl Program {
    /// Makes the filter of `policy`.
    ///
    /// # Errors
    /// More calls are named than a filter has room for.
    pub(super) fn new(policy: &Policy<'_>) -> Result<Self, SandboxError> {
        let code = program(policy)
            .ok_or_else(|| SandboxError::Call("seccomp", io::ErrorKind::InvalidInput.into()))?;
        Ok(Self {
            code,
            flags: policy.flags,
        })
    }

    /// Puts this process, and what it may start, under the filter for good, and takes new privileges away.
    ///
    /// # Errors
    /// The kernel's; unsupported where it has no filters. Nothing has changed then, but for new privileges.
    pub(super) fn install(&self) -> Result<(), SandboxError> {
        self.give_to_kernel()
            .map_err(|error| match error.raw_os_error() {
                Some(libc::ENOSYS | libc::EINVAL) => {
                    SandboxError::Unsupported("this kernel has no seccomp filters".to_owned())
                }
                _ => SandboxError::Call("seccomp", error),
            })
    }

    fn give_to_kernel(&self) -> io::Result<()> {
        let program = sock_fprog {
            len: u16::try_from(self.code.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
            // The kernel only reads it.
            filter: self.code.as_ptr().cast_mut(),
        };
        nix::sys::prctl::set_no_new_privs()?;
        let mut flags = self.flags;
        loop {
            // SAFETY: `program` describes the code, which outlives the call; the kernel copies and checks it.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_seccomp,
                    libc::SECCOMP_SET_MODE_FILTER,
                    flags,
                    &raw const program,
                )
            };
            match Errno::result(result) {
                Ok(_) => return Ok(()),
                Err(Errno::EINVAL) if flags != 0 => flags = 0,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's machine would answer; `arguments` are the first four.
    fn run(code: &[sock_filter], arch: u32, number: u32, arguments: [u32; 4]) -> u32 {
        let mut at = 0;
        let mut word = 0;
        loop {
            let step = code[at];
            at += 1;
            let jump = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
            match step.code {
                LOAD => {
                    word = match step.k {
                        NUMBER => number,
                        ARCH => arch,
                        PROCESS => arguments[0],
                        SIGNAL => arguments[1],
                        PROTECTION => arguments[2],
                        FLAGS => arguments[3],
                        other => panic!("loads {other}"),
                    };
                }
                IF_EQUAL => at += jump(word == step.k),
                IF_GREATER_EQUAL => at += jump(word >= step.k),
                IF_ANY_BIT => at += jump(word & step.k != 0),
                RETURN => return step.k,
                other => panic!("instruction {other}"),
            }
        }
    }

    const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();

    fn answer(code: &[sock_filter], number: u32, arguments: [u32; 4]) -> u32 {
        run(code, ARCHITECTURE, number, arguments)
    }

    #[test]
    fn exactly_the_named_calls_are_judged_differently() {
        let lists: [&[u32]; 5] = [
            &[],
            &[0, 1, 2, 3],
            &[7],
            &[500, 0, 1, 7, 60, 8, 10, 231],
            &[
                3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 599,
            ],
        ];
        for (named, others, foreign, special, usual) in lists.iter().flat_map(|list| {
            [
                (list, Verdict::Kill, Verdict::Kill, ALLOW, KILL),
                (list, Verdict::Allow, Verdict::Refuse, REFUSE, ALLOW),
            ]
        }) {
            let verdict = if special == ALLOW {
                Verdict::Allow
            } else {
                Verdict::Refuse
            };
            let rules: Vec<(libc::c_long, Verdict)> =
                named.iter().map(|&call| (call.into(), verdict)).collect();
            let code = program(&Policy {
                named: &rules,
                others,
                foreign,
                own: 4711,
                flags: 0,
            })
            .unwrap();
            for number in 0..600 {
                let expected = if named.contains(&number) {
                    special
                } else {
                    usual
                };
                assert_eq!(
                    answer(&code, number, [0; 4]),
                    expected,
                    "{number} {named:?}"
                );
            }
            let foreign = if foreign == Verdict::Kill {
                KILL
            } else {
                REFUSE
            };
            for number in [X32, X32 + 1, X32 + 9, u32::MAX] {
                assert_eq!(answer(&code, number, [0; 4]), foreign, "{number}");
            }
            for number in [0, 7, 600] {
                assert_eq!(run(&code, ARCHITECTURE ^ 1, number, [0; 4]), foreign);
            }
        }
    }

    #[test]
    fn arguments_decide_where_they_are_asked() {
        let rules = [
            (9, Verdict::Memory),
            (62, Verdict::Presence),
            (234, Verdict::Itself),
            (0, Verdict::Allow),
        ];
        let policy = Policy {
            named: &rules,
            others: Verdict::Kill,
            foreign: Verdict::Kill,
            own: 4711,
            flags: 0,
        };
        let code = program(&policy).unwrap();
        let anonymous = libc::MAP_ANONYMOUS.unsigned_abs();
        let executable = libc::PROT_EXEC.unsigned_abs();
        assert_eq!(answer(&code, 9, [0, 0, 3, anonymous | 2]), ALLOW);
        assert_eq!(answer(&code, 9, [0, 0, 3, 2]), KILL);
        assert_eq!(
            answer(&code, 9, [0, 0, 3 | executable, anonymous | 2]),
            KILL
        );
        assert_eq!(answer(&code, 62, [5, 0, 7, 7]), ALLOW);
        assert_eq!(answer(&code, 62, [0, 9, 0, 0]), REFUSE);
        assert_eq!(answer(&code, 0, [0, 9, 0, 0]), ALLOW);
        assert_eq!(answer(&code, 234, [4711, 1, 0, 0]), ALLOW);
        assert_eq!(answer(&code, 234, [0, 1, 0, 0]), ALLOW);
        assert_eq!(answer(&code, 234, [1, 1, 0, 0]), REFUSE);
        assert_eq!(answer(&code, 63, [0; 4]), KILL);
    }

    /// What the rules say, read one by one.
    fn slowly(policy: &Policy<'_>, arch: u32, number: u32, arguments: [u32; 4]) -> u32 {
        let [process, signal, protection, flags] = arguments;
        let named = |&&(call, _): &&(libc::c_long, Verdict)| call == i64::from(number);
        let verdict = if arch != ARCHITECTURE || number >= X32 {
            policy.foreign
        } else {
            let rule = policy.named.iter().find(named);
            rule.map_or(policy.others, |&(_, verdict)| verdict)
        };
        let either = |yes, one, other| if yes { one } else { other };
        match verdict {
            Verdict::Kill => KILL,
            Verdict::Refuse => REFUSE,
            Verdict::Allow => ALLOW,
            Verdict::Memory => {
                let executable = protection & libc::PROT_EXEC.unsigned_abs() != 0;
                let anonymous = flags & libc::MAP_ANONYMOUS.unsigned_abs() != 0;
                either(anonymous && !executable, ALLOW, KILL)
            }
            Verdict::Presence => either(signal == 0, ALLOW, REFUSE),
            Verdict::Itself => either([0, policy.own].contains(&process), ALLOW, REFUSE),
        }
    }

    proptest::proptest! {
        #[test]
        fn a_program_answers_as_its_rules_do(
            rules in proptest::collection::vec((0_u32..80, 0_usize..6), 0..60),
            others in proptest::bool::ANY,
            foreign in proptest::bool::ANY,
        ) {
            let verdicts = [
                Verdict::Kill,
                Verdict::Refuse,
                Verdict::Allow,
                Verdict::Memory,
                Verdict::Presence,
                Verdict::Itself,
            ];
            let named: Vec<(libc::c_long, Verdict)> = rules
                .iter()
                .map(|&(call, verdict)| (call.into(), verdicts[verdict]))
                .collect();
            let policy = Policy {
                named: &named,
                others: if others { Verdict::Allow } else { Verdict::Kill },
                foreign: if foreign { Verdict::Refuse } else { Verdict::Kill },
                own: 7,
                flags: 0,
            };
            let code = program(&policy).unwrap();
            let far = [X32 - 1, X32, X32 + 9, X32 | 79, i32::MAX as u32, 1 << 31, u32::MAX];
            for number in (0..90).chain(far) {
                for arguments in [[0; 4], [7, 1, 7, 0x22], [8, 9, 3, 0x22], [8, 0, 3, 2]] {
                    for arch in [ARCHITECTURE, ARCHITECTURE ^ 1, 0x4000_0003] {
                        let expected = slowly(&policy, arch, number, arguments);
                        let answer = run(&code, arch, number, arguments);
                        proptest::prop_assert_eq!(answer, expected, "{} {:?}", number, arguments);
                    }
                }
            }
        }
    }

    #[test]
    fn neighbours_are_one_region() {
        let named = [2, 1, 5, 0, 5].map(|call| (call, Verdict::Allow));
        assert_eq!(
            regions(&named, Verdict::Kill, Verdict::Kill),
            [
                (0, Verdict::Allow),
                (3, Verdict::Kill),
                (5, Verdict::Allow),
                (6, Verdict::Kill),
            ]
        );
    }
}
