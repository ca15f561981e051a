"""A session of Python's imaplib: PORT TLS-PORT USER PASSWORD.

Everything imaplib offers that the server has, each with what must come of it.
"""
import datetime
import imaplib
import ssl
import sys

port, tls_port, user, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
imaplib.Debug = 0
insecure = ssl._create_unverified_context()


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def message(number, size=200):
    return (f"From: sender{number}@example.org\r\nTo: {user}@example.net\r\nSubject: message {number}\r\n"
            f"Message-ID: <{number}@example.org>\r\n\r\n" + "x" * size + "\r\n").encode()


# The three ways in.
with imaplib.IMAP4("127.0.0.1", port) as m:
    ok(m.starttls(insecure))
    ok(m.login(user, password))
with imaplib.IMAP4_SSL("127.0.0.1", tls_port, ssl_context=insecure) as m:
    ok(m.authenticate("PLAIN", lambda challenge: f"\0{user}\0{password}".encode()))
m = imaplib.IMAP4("127.0.0.1", port)
try:
    m.login(user, password + "x")
    raise AssertionError("a wrong password was accepted")
except imaplib.IMAP4.error:
    pass
ok(m.login(user, password))

assert "ENABLE" in m.capabilities, m.capabilities
ok(m.enable("X-NOTHING"))

# Mailboxes.
ok(m.create("Box"))
ok(m.create("Box/Inside"))
assert m.create("Box")[0] == "NO"
ok(m.rename("Box/Inside", "Box/Within"))
names = [line.decode().rsplit(" ", 1)[-1].strip('"') for line in ok(m.list())]
assert {"INBOX", "Box", "Box/Within"} <= set(names) and "Box/Inside" not in names, names
ok(m.subscribe("Box"))
assert any(b"Box" in line for line in ok(m.lsub()))
ok(m.namespace())

# Messages.
when = datetime.datetime(2020, 2, 29, 12, 30, tzinfo=datetime.timezone.utc)
for number in range(1, 11):
    flags = r"(\Seen Tagged)" if number % 2 else None
    data = ok(m.append("Box", flags, imaplib.Time2Internaldate(when), message(number)))
    assert b"APPENDUID" in data[0], data
assert ok(m.select("Box")) == [b"10"]
assert ok(m.search(None, "SEEN")) == [b"1 3 5 7 9"]
assert ok(m.search("UTF-8", "SUBJECT", '"message 7"')) == [b"7"]
assert ok(m.uid("SEARCH", None, "KEYWORD Tagged")) == [b"1 3 5 7 9"]
got = ok(m.fetch("2", "(BODY.PEEK[] INTERNALDATE)"))
assert got[0][1] == message(2), got
assert b"29-Feb-2020 12:30:00 +0000" in got[0][0] + got[1], got
everything = ok(m.fetch("1:*", "(UID FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
assert len([part for part in everything if isinstance(part, tuple)]) == 10
assert ok(m.fetch("3", "(BODY.PEEK[TEXT]<10.20>)"))[0][1] == b"x" * 20
ok(m.store("4", "+FLAGS", r"(\Flagged)"))
assert ok(m.search(None, "FLAGGED")) == [b"4"]
ok(m.copy("1:3", "Box/Within"))
assert b"MESSAGES 3" in ok(m.status("Box/Within", "(MESSAGES UIDNEXT UNSEEN)"))[0]
ok(m.uid("MOVE", "5", "Box/Within"))
ok(m.store("1:2", "+FLAGS.SILENT", r"(\Deleted)"))
assert len([number for number in ok(m.expunge()) if number]) >= 2
assert len(ok(m.search(None, "ALL"))[0].split()) == 7
ok(m.noop())
ok(m.check())
ok(m.close())
ok(m.select("Box", readonly=True))
assert m.readonly is not None
ok(m.unselect())

# A large message, there and back.
large = message(99, 3_000_000)
ok(m.append("INBOX", None, None, large))
ok(m.select("INBOX"))
assert ok(m.fetch("1", "(RFC822)"))[0][1] == large
ok(m.delete("Box/Within"))
assert m.logout()[0] == "BYE"
print("all done")
