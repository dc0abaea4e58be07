//! A middleman between the binary and the emulator that treats each upload as a script says: passes it on, cuts it,
//! leaves it lying, or answers in its own way. Only bytes on sockets: what an answer means is left to the tests.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// No connection waits longer for its peer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is done with one upload.
pub(crate) enum Conduct {
    /// The emulator hears and answers it.
    Pass,
    /// The connection is reset while most of the upload is on its way.
    ResetInUpload,
    /// Nothing more is read; the connection stays.
    StallInUpload,
    /// Everything but the last byte is read, which lies in our buffers when the connection is reset: to the sender
    /// all of it has gone.
    ResetAfterUpload,
    /// The emulator hears it; this is said in its place, once it has answered.
    Reply(Words),
    /// The emulator never hears it; this is said once the whole upload was read.
    Alone(Words),
    /// The emulator never hears it; this is said before most of the upload was read.
    Early(Words),
}

/// Says something to the client; is given what the emulator answered.
pub(crate) type Words = Box<dyn FnOnce(&mut TcpStream, &Answer) -> io::Result<()>>;

/// An answer of the emulator.
#[derive(Default)]
pub(crate) struct Answer {
    /// Its head, up to the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Chooses by the upload's file name and how often it has come before.
type Script = dyn Fn(&str, u32) -> Conduct + Send + Sync;

/// Listens until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn start(
        api: SocketAddr,
        script: impl Fn(&str, u32) -> Conduct + Send + Sync + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (ended, script): (_, Arc<Script>) = (Arc::clone(&over), Arc::new(script));
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let listen = move || {
            for client in listener.incoming() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                // A client that leaves is what many of these tests are about.
                std::thread::spawn(move || serve(client?, api, &*script, &seen));
            }
        };
        Proxy { address, over, listener: Some(std::thread::spawn(listen)) }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        self.listener.take().map(JoinHandle::join);
    }
}

/// Waits until the client leaves; what it still says is not heard.
pub(crate) fn hold(client: &mut TcpStream) -> io::Result<()> {
    let mut heard = [0; 1024];
    while client.read(&mut heard)? > 0 {}
    Ok(())
}

/// Ends the connection: what the client has sent by then is not heard either.
pub(crate) fn hang_up(client: &mut TcpStream) -> io::Result<()> {
    client.shutdown(Shutdown::Both)?;
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// One request after another of one connection.
fn serve(
    mut client: TcpStream,
    api: SocketAddr,
    script: &Script,
    seen: &Mutex<HashMap<String, u32>>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    while let Some(mut request) = Request::begin(&mut client)? {
        let times = {
            let mut seen = seen.lock().unwrap();
            let times = seen.entry(request.name.clone()).or_insert(0);
            *times += 1;
            *times - 1
        };
        match script(&request.name, times) {
            Conduct::Pass => {
                request.read_up_to(&mut client, 0)?;
                let Answer { head, body } = request.pass_on(api)?;
                client.write_all(&[head.as_bytes(), b"\r\n\r\n", &body].concat())?;
                return Ok(()); // it said that it closes
            }
            Conduct::ResetInUpload => return Ok(()), // a socket that is closed over unread bytes resets
            Conduct::StallInUpload => {
                std::thread::sleep(Duration::from_secs(5));
                return Ok(());
            }
            Conduct::ResetAfterUpload => return request.read_up_to(&mut client, 1),
            Conduct::Reply(words) => {
                request.read_up_to(&mut client, 0)?;
                words(&mut client, &request.pass_on(api)?)?;
            }
            Conduct::Alone(words) => {
                request.read_up_to(&mut client, 0)?;
                words(&mut client, &Answer::default())?;
            }
            Conduct::Early(words) => {
                words(&mut client, &Answer::default())?;
                request.read_up_to(&mut client, 0)?;
            }
        }
    }
    Ok(())
}

/// A request as far as it has been read.
struct Request {
    /// Of the uploaded file; empty for a request without one.
    name: String,
    bytes: Vec<u8>,
    /// With its head.
    length: usize,
}

impl Request {
    /// Reads the head and as much of the body as tells the file's name; `None` when the client is done.
    fn begin(client: &mut TcpStream) -> io::Result<Option<Request>> {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 1024]);
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some(head) = text.find("\r\n\r\n") {
                let length = field(&text[..head], "content-length").map_or(0, |l| l.parse().unwrap());
                let name = text.split_once("filename=\"").and_then(|(_, rest)| rest.split_once('"'));
                if length == 0 || name.is_some() {
                    let name = name.map_or(String::new(), |(name, _)| name.to_owned());
                    return Ok(Some(Request { name, bytes, length: head + 4 + length }));
                }
            }
            match client.read(&mut chunk)? {
                0 => return Ok(None),
                read => bytes.extend(&chunk[..read]),
            }
        }
    }

    /// Reads on until so many bytes are left.
    fn read_up_to(&mut self, client: &mut TcpStream, left: usize) -> io::Result<()> {
        let missing = (self.length - left).saturating_sub(self.bytes.len());
        client.take(missing as u64).read_to_end(&mut self.bytes)?;
        if left > 0 {
            client.peek(&mut [0])?; // it has arrived, and is not read
        }
        Ok(())
    }

    /// Asks the emulator.
    fn pass_on(&self, api: SocketAddr) -> io::Result<Answer> {
        let mut api = TcpStream::connect(api)?;
        let line = self.bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
        api.write_all(&[&self.bytes[..line], b"connection: close\r\n", &self.bytes[line..]].concat())?;
        let mut answer = Vec::new();
        api.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        Ok(Answer { head, body: answer.split_off(end + 4) })
    }
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value.trim()))
}
