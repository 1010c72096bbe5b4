//! Drives a runtime through containerd's CRI as a kubelet does, and says what held.
//!
//! A pod of two containers is run, looked into, stopped and removed; lines are those of the
//! Test Anything Protocol. The images must be in containerd's `k8s.io` namespace already.
//! Logs and pods' networks are read on the host, so it runs beside containerd, as root.

mod pod;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio::time::sleep;

use self::pod::{Container, Cri, Share};

/// Checks a runtime through CRI.
#[derive(Parser)]
struct Args {
    /// containerd's socket.
    #[arg(long, env = "CONTAINERD_ADDRESS")]
    address: PathBuf,
    /// CRI's runtime handler: the name of a runtime in containerd's configuration.
    #[arg(long, default_value = "")]
    handler: String,
    /// An image with a busybox.
    #[arg(long, default_value = "docker.io/library/busybox:latest")]
    image: String,
    /// Where the pods' logs go.
    #[arg(long, default_value = "/tmp/cri-check")]
    logs: PathBuf,
}

/// Counts what was checked.
#[derive(Default)]
struct Tap {
    done: usize,
    failed: usize,
}

impl Tap {
    fn check(&mut self, what: &str, result: Result<()>) {
        self.done += 1;
        match result {
            Ok(()) => println!("ok {} - {what}", self.done),
            Err(e) => {
                self.failed += 1;
                println!("not ok {} - {what}\n# {e:#}", self.done);
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut tap = Tap::default();
    let cri = Cri::connect(&args.address, &args.handler, &args.image, &args.logs).await?;
    for share in [Share::Nothing, Share::Pids] {
        run_pod(&cri, share, &mut tap).await;
    }
    println!("1..{}", tap.done);
    Ok(if tap.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn run_pod(cri: &Cri, share: Share, tap: &mut Tap) {
    let name = share.name();
    let pod = match cri.run_pod(share).await {
        Ok(pod) => {
            tap.check(&format!("{name}: a pod runs"), Ok(()));
            pod
        }
        Err(e) => return tap.check(&format!("{name}: a pod runs"), Err(e)),
    };
    let result = check_containers(cri, &pod, share, tap).await;
    tap.check(&format!("{name}: two containers"), result);
    let stopped = cri.stop_pod(&pod).await;
    tap.check(&format!("{name}: the pod stops"), stopped);
    let removed = cri.remove_pod(&pod).await;
    tap.check(&format!("{name}: the pod is removed"), removed);
    let gone = async {
        ensure!(!cri.has_pod(&pod).await?, "it is still listed");
        Ok(())
    };
    tap.check(&format!("{name}: it is gone"), gone.await);
}

const SERVE: &str = "mkdir -p /www; echo page > /www/index.html; httpd -p 8080 -h /www; \
                     echo ready; while :; do sleep 1; done";

async fn check_containers(cri: &Cri, pod: &str, share: Share, tap: &mut Tap) -> Result<()> {
    let name = share.name();
    let server = cri.start(pod, share, "server", SERVE).await?;
    let other = cri
        .start(pod, share, "other", "echo to err >&2; exec sleep 1000")
        .await?;
    sleep(Duration::from_secs(1)).await;

    let logs = async {
        let text = cri.log("server")?;
        ensure!(text.contains("stdout F ready"), "the log says {text:?}");
        let text = cri.log("other")?;
        ensure!(text.contains("stderr F to err"), "the log says {text:?}");
        Ok(())
    };
    tap.check(&format!("{name}: logs"), logs.await);
    tap.check(&format!("{name}: exec"), exec(cri, &server).await);
    tap.check(&format!("{name}: network"), network(cri, pod, &other).await);
    tap.check(&format!("{name}: pids"), pids(cri, &other, share).await);
    tap.check(&format!("{name}: stats"), stats(cri, &server).await);
    tap.check(&format!("{name}: status"), status(cri, &other).await);
    cri.remove(&server).await
}

async fn exec(cri: &Cri, c: &Container) -> Result<()> {
    let out = cri.exec(c, "echo $((6 * 7)); echo no >&2; exit 3").await?;
    ensure!(out.exit_code == 3, "its code is {}", out.exit_code);
    ensure!(out.stdout == b"42\n", "it says {:?}", out.stdout);
    ensure!(out.stderr == b"no\n", "its errors are {:?}", out.stderr);
    Ok(())
}

/// Both containers share the pod's network, and the pod has an address.
async fn network(cri: &Cri, pod: &str, other: &Container) -> Result<()> {
    let ip = cri.pod_address(pod).await?;
    ensure!(!ip.is_empty(), "the pod has no address");
    for host in ["127.0.0.1", &ip] {
        let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc {host} 8080");
        let out = cri.exec(other, &ask).await?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        ensure!(text.contains("page"), "{host} answers {text:?}");
    }
    Ok(())
}

async fn pids(cri: &Cri, c: &Container, share: Share) -> Result<()> {
    let out = cri
        .exec(c, "ps -o comm; echo init is $(cat /proc/1/comm)")
        .await?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let sees = text.contains("httpd");
    match share {
        Share::Nothing => ensure!(!sees, "it sees the other's: {text}"),
        Share::Pids => ensure!(sees, "it does not see the other's: {text}"),
    }
    Ok(())
}

async fn stats(cri: &Cri, c: &Container) -> Result<()> {
    let (cpu, memory) = cri.stats(c).await.context("asking")?;
    ensure!(cpu > 0, "no CPU time");
    ensure!(memory > 0, "no memory");
    Ok(())
}

/// A container that is stopped says how it ended.
async fn status(cri: &Cri, c: &Container) -> Result<()> {
    ensure!(cri.exit_code(c).await?.is_none(), "it ended by itself");
    cri.stop(c, 1).await?;
    let code = cri.exit_code(c).await?.context("it is not stopped")?;
    ensure!(code == 137 || code == 143, "its code is {code}");
    cri.remove(c).await
}
