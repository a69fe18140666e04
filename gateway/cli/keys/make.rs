//! `tollgate keys mint`, `issue`, `rotate` and `revoke`. A key in the clear is all that goes to standard output.

use std::io::{stderr, stdout};

use super::list::used;
use super::{Failed, Open, print, who};
use crate::clock::iso_millis;
use crate::plans::{ApiKey, Key, KeyId};
use crate::resource_server::Gift;

pub(super) async fn mint(open: &Open, gift: &Gift) -> Result<(), Failed> {
    let (beside, who) = (open.beside()?, who());
    let given = open.registrar(&beside, &who).mint(gift).await?;
    let held = &given.subscription;
    let until = iso_millis(held.expires_at);
    let note =
        format!("plan {} for {} ({}), {} units used, until {until}", held.plan.name, gift.to, held.holder, used(held));
    show(&given.key, &given.text, &note);
    Ok(())
}

pub(super) async fn issue(open: &Open, holder: &str) -> Result<(), Failed> {
    let (beside, who) = (open.beside()?, who());
    let (key, text) = open.registrar(&beside, &who).issue(holder).await?;
    show(&key, &text, &format!("for {}", key.holder));
    Ok(())
}

pub(super) async fn rotate(open: &Open, replaced: &KeyId) -> Result<(), Failed> {
    let (beside, who) = (open.beside()?, who());
    let (key, text) = open.registrar(&beside, &who).rotate(replaced).await?;
    show(&key, &text, &format!("in place of {replaced}, for {}", key.holder));
    Ok(())
}

pub(super) async fn revoke(open: &Open, id: &KeyId) -> Result<(), Failed> {
    let (beside, who) = (open.beside()?, who());
    let key = open.registrar(&beside, &who).revoke(id).await?;
    print(stdout(), &format!("{id} opens nothing any more; it was {}'s", key.holder));
    Ok(())
}

fn show(key: &Key, text: &ApiKey, note: &str) {
    print(stderr(), &format!("{}: {note}\nThe key is shown once:", key.id));
    print(stdout(), text.reveal());
}
