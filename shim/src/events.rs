//! What happens to tasks, told to containerd in its order.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, SystemTime};

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::protobuf::{MessageField, MessageFull};
use containerd_shim_protos::shim::events::{Envelope, ForwardRequest};
use containerd_shim_protos::ttrpc::{self, context};
use containerd_shim_protos::{Client, EventsClient};

use crate::fault::Result;

/// How often an event is sent before it is given up: containerd may be being restarted.
const TRIES: u32 = 5;
/// How long one sending may take.
const LIMIT: Duration = Duration::from_secs(5);

enum Item {
    Event(Box<Envelope>),
    /// Answered when all before it are sent.
    Flush(SyncSender<()>),
}

/// The way to containerd.
pub struct Publisher {
    namespace: String,
    queue: Sender<Item>,
}

/// A message as containerd's `typeurl` packs it: by its bare name.
pub fn pack<M: MessageFull>(message: &M) -> Result<Any> {
    Ok(Any {
        type_url: M::descriptor().full_name().to_owned(),
        value: message.write_to_bytes()?,
        ..Any::default()
    })
}

impl Publisher {
    /// To the socket `address`, for tasks of this name space of containerd's.
    pub fn new(address: String, namespace: &str) -> Publisher {
        let (queue, items) = channel();
        std::thread::spawn(move || send_all(&address, &items));
        Publisher {
            namespace: namespace.to_owned(),
            queue,
        }
    }

    /// Puts an event into the queue.
    pub fn publish<M: MessageFull>(&self, topic: &str, event: &M) {
        let Ok(packed) = pack(event) else { return };
        let envelope = Envelope {
            timestamp: MessageField::some(Timestamp::from(SystemTime::now())),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: MessageField::some(packed),
            ..Envelope::default()
        };
        // The other end lives as long as the process.
        let _ = self.queue.send(Item::Event(Box::new(envelope)));
    }

    /// Waits until all events are sent or given up, at most so long.
    pub fn flush(&self, limit: Duration) {
        let (done, wait) = sync_channel(1);
        if self.queue.send(Item::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(limit);
        }
    }
}

fn send_all(address: &str, items: &Receiver<Item>) {
    let mut client = None;
    for item in items {
        match item {
            Item::Event(envelope) => {
                let request = ForwardRequest {
                    envelope: MessageField::from(Some(*envelope)),
                    ..ForwardRequest::default()
                };
                send(address, &mut client, &request);
            }
            Item::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

fn send(address: &str, client: &mut Option<EventsClient>, request: &ForwardRequest) {
    for attempt in 1..=TRIES {
        if client.is_none() {
            *client = connect(address).ok();
        }
        let limit = context::with_timeout(LIMIT.as_nanos() as i64);
        match client.as_ref().map(|c| c.forward(limit, request)) {
            // An answer, if only that it was refused.
            Some(Ok(_) | Err(ttrpc::Error::RpcStatus(_))) => return,
            _ => *client = None,
        }
        if attempt < TRIES {
            std::thread::sleep(Duration::from_millis(200) * attempt);
        }
    }
}

fn connect(address: &str) -> ttrpc::Result<EventsClient> {
    let path = address.strip_prefix("unix://").unwrap_or(address);
    Ok(EventsClient::new(Client::connect(&format!(
        "unix://{path}"
    ))?))
}
