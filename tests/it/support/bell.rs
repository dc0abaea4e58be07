//! Somebody who is told of runs: hears pings, answers them with 200 or as it is told to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What was heard.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// `POST /ping/start`
    pub(crate) line: String,
    /// Line, headers and body as they came.
    pub(crate) text: String,
    pub(crate) body: Value,
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With 200.
    Kind,
    /// With 500.
    Broken,
    /// It takes the call and says nothing.
    Silent,
}

/// See the module. Its threads end with the test's process.
pub(crate) struct Bell {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Bell {
    pub(crate) fn hang(manner: Manner) -> Bell {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ping", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut calls = Vec::new();
            for call in listener.incoming().flatten() {
                match manner {
                    Manner::Kind => answer(call, "200 OK", &ears),
                    Manner::Broken => answer(call, "500 Internal Server Error", &ears),
                    Manner::Silent => calls.push(call),
                }
            }
        });
        Bell { url, heard }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The same, and from now on anew: line, exit code and why it ended.
    pub(crate) fn take(&self) -> Vec<(String, Value, Value)> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        heard
            .into_iter()
            .map(|h| (h.line, h.body["exit_code"].clone(), h.body["stop_reason"].clone()))
            .collect()
    }
}

fn answer(mut call: TcpStream, status: &str, heard: &Mutex<Vec<Heard>>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let body = loop {
        let read = call.read(&mut chunk).unwrap_or(0);
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        match (body, read) {
            (Some(body), _) => break body,
            (None, 0) => return,
            (None, _) => {}
        }
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.split(" HTTP").next().unwrap_or_default().to_owned();
    heard.lock().unwrap().push(Heard { line, text, body });
    let _ = write!(call, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}
