// What each piece of JavaScript that runs inside Thunderbird begins with.
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const accounts = MailServices.accounts;
const server = accounts.defaultAccount?.incomingServer;
const root = server?.rootFolder;

// A folder of the account by its path, in the modified UTF-7 of IMAP.
const folder = path => MailServices.folderLookup.getFolderForURL(`${root.URI}/${path}`);
const messages = folder => [...folder.messages];
const count = folder => folder.getTotalMessages(false);
// Without one, it asks nobody before it deletes.
const ourWindow = () => Services.wm.getMostRecentWindow("mail:3pane").msgWindow;

const pause = milliseconds =>
  new Promise(resolve => {
    const timer = Cc["@mozilla.org/timer;1"].createInstance(Ci.nsITimer);
    // One that nobody holds may be collected before it rings.
    (globalThis.timers ??= []).push(timer);
    timer.initWithCallback(() => resolve(), milliseconds, Ci.nsITimer.TYPE_ONE_SHOT);
  });

// Waits for a condition; Marionette's time limit ends it.
const until = async condition => {
  while (!condition()) {
    await pause(20);
  }
};

// Runs what takes a listener of an IMAP URL to its end.
const finished = start =>
  new Promise((resolve, reject) =>
    start({
      QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
      OnStartRunningUrl() {},
      OnStopRunningUrl(url, code) {
        code ? reject(new Error(`${url?.spec} ended with ${code.toString(16)}`)) : resolve();
      },
    })
  );

// Runs what takes a listener of the copy service to its end.
const copied = start =>
  new Promise((resolve, reject) =>
    start({
      QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
      onStartCopy() {},
      onProgress() {},
      setMessageKey() {},
      getMessageId: () => null,
      onStopCopy(code) {
        code ? reject(new Error(`the copy ended with ${code.toString(16)}`)) : resolve();
      },
    })
  );

// Opens a folder, as a click on it does. Where it is busy with the folder already, it may forget to
// say when it is done.
const open = folder =>
  Promise.race([
    pause(3000),
    finished(listener =>
      folder.QueryInterface(Ci.nsIMsgImapMailFolder).updateFolderWithListener(null, listener)
    ),
  ]);

// Downloads what is not there yet of a folder, and returns how many messages it has.
const download = async folder => {
  const isHere = message => message.flags & Ci.nsMsgMessageFlags.Offline;
  await open(folder);
  for (let round = 0; !messages(folder).every(isHere); round++) {
    // It may be at it by itself.
    if (round % 100 == 0) {
      folder.downloadAllForOffline(null, ourWindow());
    }
    await pause(20);
  }
  return messages(folder).length;
};

// Searches a folder on the server, and returns how many messages were found.
const search = async (folder, attribute, operator, text) => {
  const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
  session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folder);
  const term = session.createTerm();
  const value = term.value;
  value.attrib = term.attrib = Ci.nsMsgSearchAttrib[attribute];
  value.str = text;
  term.value = value;
  term.op = Ci.nsMsgSearchOp[operator];
  term.booleanAnd = true;
  session.appendTerm(term);
  let found = 0;
  await new Promise((resolve, reject) => {
    session.registerListener({
      QueryInterface: ChromeUtils.generateQI(["nsIMsgSearchNotify"]),
      onNewSearch() {},
      onSearchHit() {
        found++;
      },
      onSearchDone(code) {
        code ? reject(new Error(`the search ended with ${code.toString(16)}`)) : resolve();
      },
    });
    session.search(ourWindow());
  });
  return found;
};

// Makes an account. `security`: 0 none, 2 STARTTLS, 3 TLS.
const makeAccount = async ({ host, port, security, user, password }) => {
  const origin = `imap://${host}`;
  const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
  login.init(origin, null, origin, user, password, "", "");
  if (!(await Services.logins.searchLoginsAsync({ origin })).length) {
    await Services.logins.addLoginAsync(login);
  }
  const incoming = accounts.createIncomingServer(user, host, "imap");
  incoming.port = port;
  incoming.socketType = security;
  incoming.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
  const identity = accounts.createIdentity();
  identity.email = "alice@example.org";
  const account = accounts.createAccount();
  account.incomingServer = incoming;
  account.addIdentity(identity);
  accounts.defaultAccount = account;
  incoming.getNewMessages(incoming.rootFolder, null, null);
  return account;
};
