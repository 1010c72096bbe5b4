//! The calls of CRI that a kubelet makes for a pod, and what it fills in.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatsRequest,
    ContainerStatusRequest, CreateContainerRequest, ExecSyncRequest, ExecSyncResponse, ImageSpec,
    LinuxContainerConfig, LinuxContainerSecurityContext, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, ListPodSandboxRequest, NamespaceMode, NamespaceOption,
    PodSandboxConfig, PodSandboxMetadata, PodSandboxStatusRequest, RemoveContainerRequest,
    RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest, StopContainerRequest,
    StopPodSandboxRequest,
};
use tokio::net::UnixStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// How long any call may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What the containers of a pod share beside the network, IPC and host name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Each has its own processes.
    Nothing,
    /// `shareProcessNamespace`.
    Pids,
}

impl Share {
    /// For the lines of the report.
    pub fn name(self) -> &'static str {
        match self {
            Share::Nothing => "pod",
            Share::Pids => "shared-pids",
        }
    }

    fn namespaces(self) -> NamespaceOption {
        let pid = match self {
            Share::Nothing => NamespaceMode::Container,
            Share::Pids => NamespaceMode::Pod,
        };
        NamespaceOption {
            pid: pid.into(),
            ..NamespaceOption::default()
        }
    }
}

/// A started container: its id.
pub struct Container(String);

/// A connection, and what every pod of this run has in common.
pub struct Cri {
    client: RuntimeServiceClient<Channel>,
    handler: String,
    image: String,
    logs: PathBuf,
}

/// A request that does not wait for ever.
fn limited<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(LIMIT);
    request
}

impl Cri {
    /// Connects to containerd's socket.
    pub async fn connect(address: &Path, handler: &str, image: &str, logs: &Path) -> Result<Cri> {
        let path = address.to_owned();
        let connector = service_fn(move |_: Uri| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        let channel = Endpoint::from_static("http://containerd")
            .connect_with_connector(connector)
            .await
            .with_context(|| format!("no containerd at {}", address.display()))?;
        fs::create_dir_all(logs)?;
        Ok(Cri {
            client: RuntimeServiceClient::new(channel),
            handler: handler.to_owned(),
            image: image.to_owned(),
            logs: logs.to_owned(),
        })
    }

    fn client(&self) -> RuntimeServiceClient<Channel> {
        self.client.clone()
    }

    fn pod_config(&self, share: Share) -> PodSandboxConfig {
        let security = LinuxSandboxSecurityContext {
            namespace_options: Some(share.namespaces()),
            ..LinuxSandboxSecurityContext::default()
        };
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: share.name().to_owned(),
                uid: format!("{}-{}", share.name(), std::process::id()),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            hostname: "pod-host".to_owned(),
            log_directory: self.logs.display().to_string(),
            linux: Some(LinuxPodSandboxConfig {
                security_context: Some(security),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        }
    }

    /// `RunPodSandbox`; gives the pod's id.
    pub async fn run_pod(&self, share: Share) -> Result<String> {
        let request = RunPodSandboxRequest {
            config: Some(self.pod_config(share)),
            runtime_handler: self.handler.clone(),
        };
        let answer = self.client().run_pod_sandbox(limited(request)).await?;
        Ok(answer.into_inner().pod_sandbox_id)
    }

    /// `StopPodSandbox`.
    pub async fn stop_pod(&self, pod: &str) -> Result<()> {
        let request = StopPodSandboxRequest {
            pod_sandbox_id: pod.to_owned(),
        };
        self.client().stop_pod_sandbox(limited(request)).await?;
        Ok(())
    }

    /// `RemovePodSandbox`.
    pub async fn remove_pod(&self, pod: &str) -> Result<()> {
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: pod.to_owned(),
        };
        self.client().remove_pod_sandbox(limited(request)).await?;
        Ok(())
    }

    /// Whether the pod is listed.
    pub async fn has_pod(&self, pod: &str) -> Result<bool> {
        let request = ListPodSandboxRequest { filter: None };
        let answer = self.client().list_pod_sandbox(limited(request)).await?;
        Ok(answer.into_inner().items.iter().any(|p| p.id == pod))
    }

    /// The pod's address in its network; empty for none.
    pub async fn pod_address(&self, pod: &str) -> Result<String> {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: pod.to_owned(),
            verbose: false,
        };
        let answer = self.client().pod_sandbox_status(limited(request)).await?;
        let network = answer.into_inner().status.and_then(|s| s.network);
        Ok(network.map(|n| n.ip).unwrap_or_default())
    }

    /// Creates and starts a container that runs `script`.
    pub async fn start(
        &self,
        pod: &str,
        share: Share,
        name: &str,
        script: &str,
    ) -> Result<Container> {
        let security = LinuxContainerSecurityContext {
            namespace_options: Some(share.namespaces()),
            ..LinuxContainerSecurityContext::default()
        };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: name.to_owned(),
                attempt: 0,
            }),
            image: Some(ImageSpec {
                image: self.image.clone(),
                ..ImageSpec::default()
            }),
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            labels: HashMap::from([("app".to_owned(), name.to_owned())]),
            log_path: format!("{name}.log"),
            linux: Some(LinuxContainerConfig {
                security_context: Some(security),
                ..LinuxContainerConfig::default()
            }),
            ..ContainerConfig::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.to_owned(),
            config: Some(config),
            sandbox_config: Some(self.pod_config(share)),
        };
        let answer = self.client().create_container(limited(request)).await;
        let id = answer.with_context(|| format!("creating {name}"))?;
        let container_id = id.into_inner().container_id;
        let request = StartContainerRequest {
            container_id: container_id.clone(),
        };
        let started = self.client().start_container(limited(request)).await;
        started.with_context(|| format!("starting {name}"))?;
        Ok(Container(container_id))
    }

    /// The log of the container `name` of the latest pod, in CRI's format.
    pub fn log(&self, name: &str) -> Result<String> {
        let path = self.logs.join(format!("{name}.log"));
        fs::read_to_string(&path).with_context(|| format!("no log {}", path.display()))
    }

    /// `ExecSync` of a shell script.
    pub async fn exec(&self, c: &Container, script: &str) -> Result<ExecSyncResponse> {
        let request = ExecSyncRequest {
            container_id: c.0.clone(),
            cmd: ["sh", "-c", script].map(str::to_owned).to_vec(),
            timeout: 10,
        };
        Ok(self
            .client()
            .exec_sync(limited(request))
            .await?
            .into_inner())
    }

    /// CPU time in nanoseconds and memory in bytes.
    pub async fn stats(&self, c: &Container) -> Result<(u64, u64)> {
        let request = ContainerStatsRequest {
            container_id: c.0.clone(),
        };
        let answer = self.client().container_stats(limited(request)).await?;
        let stats = answer.into_inner().stats.context("no figures")?;
        let cpu = stats.cpu.and_then(|c| c.usage_core_nano_seconds);
        let memory = stats.memory.and_then(|m| m.working_set_bytes);
        Ok((
            cpu.context("no CPU")?.value,
            memory.context("no memory")?.value,
        ))
    }

    /// `StopContainer`, killed after `seconds`.
    pub async fn stop(&self, c: &Container, seconds: i64) -> Result<()> {
        let request = StopContainerRequest {
            container_id: c.0.clone(),
            timeout: seconds,
        };
        self.client().stop_container(limited(request)).await?;
        Ok(())
    }

    /// How it ended; `None` while it runs.
    pub async fn exit_code(&self, c: &Container) -> Result<Option<i32>> {
        let request = ContainerStatusRequest {
            container_id: c.0.clone(),
            verbose: false,
        };
        let answer = self.client().container_status(limited(request)).await?;
        let status = answer.into_inner().status.context("no status")?;
        let ended = status.state() == ContainerState::ContainerExited;
        Ok(ended.then_some(status.exit_code))
    }

    /// `RemoveContainer`: also a running one.
    pub async fn remove(&self, c: &Container) -> Result<()> {
        let request = RemoveContainerRequest {
            container_id: c.0.clone(),
        };
        self.client().remove_container(limited(request)).await?;
        Ok(())
    }
}
