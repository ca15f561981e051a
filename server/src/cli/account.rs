//! `account …`: who may log in.

use super::{AccountCommand, AddressCommand, BucketOptions, ConfigFile, Failure};
use crate::accounts::PASSWORD_BYTES_MAX;
use crate::accounts::edit;
use crate::accounts::file::AccountsFile;
use crate::accounts::list::OwnBucket;
use crate::config::{Config, StorageKind};
use crate::secret::Secret;
use std::io::{self, BufRead, Write};
use zeroize::Zeroizing;

pub(super) fn run(command: AccountCommand) -> Result<(), Failure> {
    match command {
        AccountCommand::Add {
            name,
            config,
            password_stdin,
            bucket,
        } => {
            let (file, config) = open(&config)?;
            let bucket = own_bucket(&config, bucket)?;
            // Before the operator has typed a password twice for nothing.
            if file.read()?.find(&name).is_some() {
                return Err(format!("there is an account {name:?} already").into());
            }
            let password = match password_stdin {
                true => line()?,
                false => new_password(&name)?,
            };
            check(&password)?;
            let is_new = !file.path().exists();
            let id = edit::add(&file, &name, &password, &config.argon2.params()?, bucket)?;
            println!("added {name} ({id})");
            if is_new {
                // Or the disk with the old one is not there just now: a server that runs knows
                // nobody else from now on.
                println!(
                    "made a new accounts file, {}, which has this account only: there was none",
                    file.path().display()
                );
            }
        }
        AccountCommand::List(config) => {
            let (file, _) = open(&config)?;
            for entry in file.read()?.entries() {
                let names: Vec<_> = entry.names.iter().chain(&entry.addresses).collect();
                let names: Vec<_> = names.into_iter().map(String::as_str).collect();
                // Until somebody logs in.
                let mark = match entry.restored_ms {
                    Some(_) => "\trestored",
                    None => "",
                };
                println!("{}\t{}{mark}", entry.id, names.join(" "));
            }
        }
        AccountCommand::Remove { name, config, yes } => {
            let (file, _) = open(&config)?;
            if !yes {
                confirm_removal(&name)?;
            }
            let id = edit::remove(&file, &name)?;
            println!("removed {name} ({id})");
        }
        AccountCommand::Restored { names, all, config } => {
            let (file, _) = open(&config)?;
            let names = (!all).then_some(&*names);
            match edit::mark_restored(&file, names)? {
                1 => println!("marked 1 account"),
                count => println!("marked {count} accounts"),
            }
        }
        AccountCommand::Address(command) => address(command)?,
        AccountCommand::Password {
            name,
            config,
            password_stdin,
        } => {
            let (file, config) = open(&config)?;
            let (old, new) = match password_stdin {
                true => (line()?, line()?),
                false => (
                    prompt(&format!("Present password of {name}: "))?,
                    new_password(&name)?,
                ),
            };
            check(&new)?;
            edit::change_password(&file, &name, &old, &new, &config.argon2.params()?)?;
            println!("changed the password of {name}");
        }
    }
    Ok(())
}

fn address(command: AddressCommand) -> Result<(), Failure> {
    match command {
        AddressCommand::Add {
            name,
            address,
            config,
        } => {
            let (file, _) = open(&config)?;
            edit::add_address(&file, &name, &address)?;
            println!("{name} gets mail for {address}");
        }
        AddressCommand::Remove { address, config } => {
            let (file, _) = open(&config)?;
            edit::remove_address(&file, &address)?;
            println!("nobody gets mail for {address} any more");
        }
    }
    Ok(())
}

fn open(file: &ConfigFile) -> Result<(AccountsFile, Config), Failure> {
    let config = Config::load(&file.config)?;
    Ok((AccountsFile::new(config.accounts.file.clone()), config))
}

/// The bucket that the options name, if they name one.
fn own_bucket(config: &Config, options: BucketOptions) -> Result<Option<OwnBucket>, Failure> {
    let BucketOptions {
        bucket: Some(name),
        key_id: Some(key_id),
        secret_file: Some(file),
    } = options
    else {
        return Ok(None);
    };
    if config.storage.kind != StorageKind::Garage {
        return Err("--bucket: mail is kept in a folder here, not in Garage".into());
    }
    let secret = Secret::read(&file).map_err(|why| format!("--secret-file: {why}"))?;
    Ok(Some(OwnBucket {
        name,
        key_id,
        secret,
    }))
}

/// A line of standard input without its end.
pub(super) fn line() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err("standard input ended before the password".into());
    }
    let len = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(len);
    Ok(line)
}

fn new_password(name: &str) -> Result<Zeroizing<String>, Failure> {
    let password = prompt(&format!("New password of {name}: "))?;
    if *password != *prompt("Once more: ")? {
        return Err("the two passwords differ".into());
    }
    Ok(password)
}

pub(super) fn prompt(text: &str) -> Result<Zeroizing<String>, Failure> {
    let password = rpassword::prompt_password(text).map_err(|error| {
        format!("no terminal to ask for a password ({error}); use --password-stdin")
    })?;
    Ok(Zeroizing::new(password))
}

/// Whether anybody could log in with a password.
fn check(password: &str) -> Result<(), Failure> {
    if password.is_empty() {
        return Err("the password must not be empty".into());
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("the password is longer than {PASSWORD_BYTES_MAX} octets").into());
    }
    // What separates the parts of PLAIN (RFC 4616 §2), and no string of IMAP has it.
    if password.contains('\0') {
        return Err("the password must not have the octet NUL".into());
    }
    Ok(())
}

fn confirm_removal(name: &str) -> Result<(), Failure> {
    print!("Nobody will be able to read the mail of {name} any more. Type the name to go on: ");
    io::stdout().flush()?;
    match *line()? == name {
        true => Ok(()),
        false => Err("nothing was removed".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_nobody_could_log_in_with_are_refused() {
        check("a").unwrap();
        check(&"x".repeat(PASSWORD_BYTES_MAX)).unwrap();
        for password in ["", "a\0b", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
            assert!(check(password).is_err(), "{} octets", password.len());
        }
    }
}
