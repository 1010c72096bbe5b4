//! The command line by which containerd calls a shim (its `runtime/v2/README.md`): options in
//! Go's form, `-name value` or `-name=value`, then an action.

/// What the program is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Serve the task service on the socket that is standard input.
    #[default]
    Serve,
    /// Start a server, or find the one that serves already; print its address.
    Start,
    /// Remove what is left of a container whose server died.
    Delete,
    /// A mount from the current directory, for options that are longer than a page.
    Mount,
}

/// The parsed command line.
#[derive(Debug, Default)]
pub struct Flags {
    /// What to do.
    pub action: Action,
    /// What follows the action.
    pub rest: Vec<String>,
    /// containerd's name space of the container.
    pub namespace: String,
    /// Container id.
    pub id: String,
    /// containerd's socket.
    pub address: String,
    /// Path of the server's own socket.
    pub socket: String,
    /// The container's bundle; empty for the current directory.
    pub bundle: String,
    /// Log what is done.
    pub debug: bool,
    /// Print the version and end.
    pub version: bool,
}

impl Flags {
    /// Parses the arguments after the program's name.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Flags, String> {
        let mut flags = Flags::default();
        while let Some(arg) = args.next() {
            let Some(option) = arg.strip_prefix('-') else {
                flags.action = match arg.as_str() {
                    "start" => Action::Start,
                    "delete" => Action::Delete,
                    "mount" => Action::Mount,
                    other => return Err(format!("unknown action {other:?}")),
                };
                flags.rest = args.collect();
                break;
            };
            let option = option.strip_prefix('-').unwrap_or(option);
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            flags.set(name, value, &mut args)?;
        }
        Ok(flags)
    }

    fn set(
        &mut self,
        name: &str,
        value: Option<String>,
        args: &mut impl Iterator<Item = String>,
    ) -> Result<(), String> {
        let on = || value.as_deref().is_none_or(|v| v == "true" || v == "1");
        let mut unused = String::new();
        let field = match name {
            "debug" => {
                self.debug = on();
                return Ok(());
            }
            "v" | "version" => {
                self.version = on();
                return Ok(());
            }
            "namespace" => &mut self.namespace,
            "id" => &mut self.id,
            "address" => &mut self.address,
            "socket" => &mut self.socket,
            "bundle" => &mut self.bundle,
            // The program that publishes events for shims that cannot by themselves.
            "publish-binary" => &mut unused,
            other => return Err(format!("flag provided but not defined: -{other}")),
        };
        *field = value
            .or_else(|| args.next())
            .ok_or_else(|| format!("flag needs an argument: -{name}"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Flags, String> {
        Flags::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn as_containerd_calls() {
        let line = "-namespace k8s.io -address /run/c.sock -publish-binary /usr/bin/containerd \
                    --id=abc -debug start";
        let flags = parse(line).unwrap();
        assert_eq!(flags.action, Action::Start);
        assert_eq!(
            (flags.namespace.as_str(), flags.id.as_str()),
            ("k8s.io", "abc")
        );
        assert!(flags.debug && !flags.version);
    }

    #[test]
    fn wrong_lines() {
        assert!(parse("-id").is_err());
        assert!(parse("-what x").is_err());
        assert!(parse("stop").is_err());
    }
}
