"""A session of Roundcube, as the browser has it: URL USER PASSWORD.

INBOX holds twenty messages "message 1" to "message 20", of which the last has an attachment of
1000 octets, and Work is a folder. What Roundcube shows is checked here, what became of it on the
server by whoever runs this.
"""
import http.cookiejar
import json
import re
import sys
import urllib.parse
import urllib.request

base, user, password = sys.argv[1:]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
token = None


def ask(query, form=None, **headers):
    url = f"{base}/?{urllib.parse.urlencode(query)}"
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    with browser.open(request, timeout=60) as answer:
        return answer.read()


def page(task, action="", form=None, **query):
    return ask({"_task": task, "_action": action, **query}, form).decode()


def act(task, action, **form):
    """What a click does by JavaScript; returns the code that Roundcube sends back."""
    query = {"_task": task, "_action": action}
    answer = ask(query, {"_remote": "1", "_unlock": "0", **form}, X_Roundcube_Request=token)
    return done(json.loads(answer)["exec"])


def listed(action, **query):
    query = {"_task": "mail", "_action": action, "_remote": "1", "_unlock": "0", **query}
    shown = done(json.loads(ask(query, X_Roundcube_Request=token))["exec"])
    return re.findall(r'add_message_row\((\d+|"[^"]*"),\{"subject":"([^"]*)"', shown)


def done(shown):
    assert '"error"' not in shown and '"warning"' not in shown, shown
    return shown


login = page("login")
form = {"_token": re.search(r'name="_token" value="([^"]*)"', login)[1], "_user": user, "_pass": password,
        "_task": "login", "_action": "login", "_timezone": "UTC"}
mail = page("login", form=form)
assert "mailboxlist" in mail, mail
token = re.search(r'"request_token":"([^"]*)"', mail)[1]
for use in ("inbox", "drafts", "sent", "junk", "trash"):
    assert f'class="mailbox {use}' in mail, (use, mail)

# Lists, newest first, and sorted by Roundcube itself.
assert len(listed("list", _mbox="INBOX", _page=1)) == 20
by_subject = [subject for _, subject in listed("list", _mbox="INBOX", _page=1, _sort="subject_ASC")]
assert by_subject == sorted(by_subject), by_subject
assert listed("list", _mbox="Work", _page=1) == []

# A message and its attachment.
shown = page("mail", "show", _mbox="INBOX", _uid=20)
assert "text of 20" in shown and "a.bin" in shown, shown
attachment = ask({"_task": "mail", "_action": "get", "_mbox": "INBOX", "_uid": 20, "_part": 2, "_download": 1,
                  "_token": token})
assert attachment == bytes(index % 251 for index in range(1000)), attachment

# Flags, copies, moves.
act("mail", "mark", _mbox="INBOX", _uid="5,6", _flag="flagged")
act("mail", "mark", _mbox="INBOX", _uid="7", _flag="read")
act("mail", "move", _mbox="INBOX", _uid="8,9", _target_mbox="Work", _page=1)
act("mail", "copy", _mbox="INBOX", _uid="10", _target_mbox="Work")
act("mail", "move", _mbox="INBOX", _uid="11", _target_mbox="Trash", _page=1)
assert len(listed("list", _mbox="INBOX", _page=1)) == 17
assert len(listed("list", _mbox="Work", _page=1)) == 3

# Searches: headers with an umlaut, the text of all folders, a filter.
found = listed("search", _q="grüße 2", _headers="subject,from", _scope="base", _filter="ALL", _mbox="INBOX")
assert [uid for uid, _ in found] == ["20"] or found == [("20", found[0][1])], found
found = listed("search", _q="text of 9", _headers="text", _scope="all", _filter="ALL", _mbox="INBOX")
assert len(found) == 1, found
found = listed("search", _q="", _headers="subject", _scope="base", _filter="FLAGGED", _mbox="INBOX")
assert len(found) == 2, found

# Whether there is news, in all folders.
act("mail", "check-recent", _mbox="INBOX", _folderlist="1", _list="1")

# A draft, saved twice.
compose = page("mail", "compose", _mbox="INBOX")
while "_id" not in (compose_form := dict(re.findall(r'name="(_id)" value="([^"]*)"', compose))):
    target = re.search(r'location(?:\.href)? *= *"([^"]*)"', compose)[1].replace("\\/", "/")
    compose = ask(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query))).decode()
sender = re.search(r'name="_from".*?value="(\d+)"', compose, re.S)[1]
draft = {"_id": compose_form["_id"], "_token": token, "_from": sender, "_to": "bob@example.net", "_is_html": "0",
         "_framed": "1", "_draft": "1", "_draft_saveid": "", "_attachments": ""}
saved = page("mail", "send", {**draft, "_subject": "a draft", "_message": "not yet\n"})
number = re.search(r'set_draft_id\("(\d+)"\)', saved)[1]
saved = page("mail", "send", {**draft, "_draft_saveid": number, "_subject": "a draft ü", "_message": "more\n"})
assert "set_draft_id" in saved, saved
assert len(listed("list", _mbox="Drafts", _page=1)) == 1

act("mail", "expunge", _mbox="INBOX")
act("mail", "purge", _mbox="Trash")

# Folders.
assert 'id="subscription-table"' in page("settings", "folders")
folder = {"_token": token, "_viewmode": "0", "_framed": "1"}
made = page("settings", "save-folder", {**folder, "_name": "Größer & neu", "_parent": "", "_mbox": ""})
assert "add_folder_row" in made, made
made = page("settings", "save-folder", {**folder, "_name": "Anders", "_parent": "Work",
                                            "_mbox": "Gr&APYA3w-er &- neu"})
assert "replace_folder_row" in made, made
act("settings", "unsubscribe", _mbox="Work/Anders")
act("settings", "subscribe", _mbox="Work/Anders")
made = page("settings", "save-folder", {**folder, "_name": "Weg", "_parent": "", "_mbox": ""})
act("settings", "delete-folder", _mbox="Weg")
page("logout", _token=token)
print("all done")
