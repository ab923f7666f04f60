//! `systemhost`: the addresses of a host, for programs that cannot ask the resolver themselves, see
//! [`crate::auth::system`] and [`crate::login::proxy::dialer`].

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::ToSocketAddrs;

const USAGE: &str = "usage: systemhost [--] NAME\n";

/// Seconds after which the program ends without an answer.
const PATIENCE: u32 = 20;

/// Runs it with the arguments after its name; returns the exit status: 0, or 1 without an address, or 2.
///
/// # Errors
/// Output could not be written.
pub fn run(
    arguments: &[OsString],
    output: &mut impl Write,
    errors: &mut impl Write,
) -> io::Result<u8> {
    let name = match arguments {
        [dashes, name] if dashes == "--" => name,
        [name] if name != "--" => name,
        _ => {
            errors.write_all(USAGE.as_bytes())?;
            return Ok(2);
        }
    };
    // The resolver may take minutes; the signal ends the program.
    nix::unistd::alarm::set(PATIENCE);
    let found = match name.to_str() {
        Some(name) => (name, 0).to_socket_addrs(),
        None => Err(io::ErrorKind::InvalidInput.into()),
    };
    match found {
        Ok(addresses) => {
            for address in addresses {
                writeln!(output, "{address}")?;
            }
            output.flush()?;
            Ok(0)
        }
        Err(error) => {
            writeln!(errors, "{error}")?;
            Ok(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn answer(arguments: &[&str]) -> (u8, String, String) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let status = run(&arguments, &mut output, &mut errors).unwrap();
        // It would end the other tests of this process.
        nix::unistd::alarm::cancel();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status, text(output), text(errors))
    }

    #[test]
    fn a_host_has_its_addresses_and_nothing_else_has_any() {
        let (status, output, _) = answer(&["--", "localhost"]);
        assert_eq!(status, 0);
        let addresses: Vec<SocketAddr> = output.lines().map(|line| line.parse().unwrap()).collect();
        assert!(!addresses.is_empty() && addresses.iter().all(|known| known.ip().is_loopback()));
        let (status, output, errors) = answer(&["no such host"]);
        assert!(status == 1 && output.is_empty() && !errors.is_empty());
        for wrong in [&[][..], &["--"], &["a", "b"], &["--", "a", "b"]] {
            assert_eq!(answer(wrong), (2, String::new(), USAGE.to_owned()));
        }
    }
}
