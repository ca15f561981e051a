//! Mozilla's remote control, as far as it takes to run a piece of JavaScript inside the
//! program, with all that the program itself may do.
//!
//! Messages are JSON behind their length in decimal and a colon: `[0, number, command,
//! parameters]` one way and `[1, number, error, result]` the other.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use restante_tests::process::{self, PATIENCE};
use serde_json::{Value, json};

/// How many dialogs may come in the way of one function.
const DIALOGS_MAX: usize = 5;

/// A session.
pub(crate) struct Marionette {
    socket: BufReader<TcpStream>,
    number: u64,
}

impl Marionette {
    /// Waits until the program listens, and begins a session. Nothing if it never does.
    pub(crate) fn connect(address: SocketAddr) -> Option<Self> {
        let mut socket = None;
        process::wait_for(|| {
            socket = TcpStream::connect(address).ok();
            socket.is_some()
        });
        let socket = socket?;
        // The program has its own time limit, which tells more.
        socket
            .set_read_timeout(Some(PATIENCE * 2))
            .and_then(|()| socket.set_nodelay(true))
            .expect("a socket takes its options");
        let mut session = Self {
            socket: BufReader::new(socket),
            number: 0,
        };
        let hello = session.receive();
        assert_eq!(hello["marionetteProtocol"], 3, "{hello}");
        session.command("WebDriver:NewSession", &json!({}));
        session.command("Marionette:SetContext", &json!({ "value": "chrome" }));
        let limit = u64::try_from(PATIENCE.as_millis()).expect("a minute");
        session.command("WebDriver:SetTimeouts", &json!({ "script": limit }));
        Some(session)
    }

    /// Runs the body of an asynchronous function, which finds `arguments` in `args`, behind its
    /// beginning `before`, and returns what it returns.
    ///
    /// # Panics
    /// With what the function throws, and when it takes too long.
    pub(crate) fn run(&mut self, before: &str, body: &str, arguments: &Value) -> Value {
        let script = format!(
            "const [args, done] = arguments;\n(async () => {{\n{before}\n{body}\n}})().then(\n\
             value => done({{ value: value ?? null }}),\n\
             error => done({{ error: `${{error}}\\n${{error?.stack}}` }}));"
        );
        let parameters = json!({ "script": script, "args": [arguments], "sandbox": "system" });
        let mut outcome = Value::Null;
        // A dialog, say that the server is gone, ends the function and is dismissed: once more.
        for _ in 0..DIALOGS_MAX {
            let answer = self.try_command("WebDriver:ExecuteAsyncScript", &parameters);
            match answer {
                Ok(mut answer) => outcome = answer["value"].take(),
                Err(why) if why.contains("dialog") => {}
                Err(why) => panic!("{why}\nin {body}"),
            }
            if !outcome.is_null() {
                break;
            }
        }
        assert!(
            outcome.get("value").is_some(),
            "{}\nin {body}",
            outcome["error"].as_str().unwrap_or("no outcome")
        );
        outcome["value"].clone()
    }

    fn command(&mut self, name: &str, parameters: &Value) -> Value {
        let answer = self.try_command(name, parameters);
        answer.unwrap_or_else(|why| panic!("{name} failed: {why}"))
    }

    fn try_command(&mut self, name: &str, parameters: &Value) -> Result<Value, String> {
        self.number += 1;
        let message = json!([0, self.number, name, parameters]).to_string();
        let message = format!("{}:{message}", message.len());
        self.socket
            .get_mut()
            .write_all(message.as_bytes())
            .expect("the program is there");
        let mut answer = self.receive();
        if answer[2].is_null() {
            Ok(answer[3].take())
        } else {
            Err(answer[2]["message"].to_string())
        }
    }

    fn receive(&mut self) -> Value {
        let mut length = Vec::new();
        self.socket
            .read_until(b':', &mut length)
            .expect("the program answers");
        let length = String::from_utf8(length).expect("a number");
        let length = length.trim_end_matches(':').parse();
        let mut message = vec![0; length.expect("a number before the colon")];
        self.socket
            .read_exact(&mut message)
            .expect("the program answers to the end");
        serde_json::from_slice(&message).expect("JSON")
    }
}
