//! The story's own world: an online shop in four versions, with its world file, images, customers and migrations.

use std::{
    collections::BTreeMap,
    env, io,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use tidegate_sandbox::live::tasks::{Catalogue, Program};
use toml::{Table, Value};

/// The world file.
pub const WORLD: &str = include_str!("../../../../config/world.toml");

/// The database instance of the story.
pub const INSTANCE: &str = "ecommerce-db";

const MIGRATIONS: [(&str, &str); 3] = {
    macro_rules! files {
        ($($name:literal),+ $(,)?) => {
            [$(($name, include_str!(concat!("../../../../config/migrations/structured-address/", $name)))),+]
        };
    }
    files!["1_expand_columns.sql", "2_sync_address.sql", "3_contract_address.sql"]
};

/// The ports of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Production.
    pub production: u16,
    /// Test.
    pub test: u16,
}

impl Ports {
    /// Two ports that were free a moment ago.
    ///
    /// # Errors
    /// If none can be bound.
    pub fn free() -> io::Result<Self> {
        Ok(Self { production: free_port()?, test: free_port()? })
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
///
/// # Errors
/// If none can be bound.
pub fn free_port() -> io::Result<u16> {
    tidegate_sandbox::live::free_port()
}

/// The world file with its listeners on other ports.
///
/// # Errors
/// If the embedded file is not TOML: a mistake in this repository.
pub fn world_on(ports: Ports) -> Result<String, toml::de::Error> {
    world_of(ports, &BTreeMap::new())
}

/// The same, and the version that serves first has further variables.
///
/// # Errors
/// As [`world_on`].
pub fn world_of(ports: Ports, environment: &BTreeMap<String, String>) -> Result<String, toml::de::Error> {
    let mut table: Table = WORLD.parse()?;
    if let Some(Value::Array(definitions)) = table.get_mut("task_definitions") {
        let variables = definitions.iter_mut().filter_map(|definition| definition.get_mut("environment"));
        for variables in variables.filter_map(Value::as_table_mut) {
            let further =
                environment.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
            variables.extend(further);
        }
    }
    if let Some(Value::Array(listeners)) = table.get_mut("listeners") {
        for listener in listeners.iter_mut().filter_map(Value::as_table_mut) {
            let port = match listener.get("name").and_then(Value::as_str) {
                Some("production") => ports.production,
                Some("test") => ports.test,
                Some(_) | None => continue,
            };
            listener.insert("port".to_owned(), Value::Integer(port.into()));
        }
    }
    Ok(table.to_string())
}

/// A world file whose instance also holds what [`initial`] gives: for a sandbox that is a process of its own.
///
/// # Errors
/// If the text is not TOML.
pub fn with_sql(world: &str, (instance, sql): &(String, String)) -> Result<String, toml::de::Error> {
    let mut table: Table = world.parse()?;
    let instances = table.get_mut("instances").and_then(Value::as_array_mut).into_iter().flatten();
    let is_it = |one: &&mut Table| one.get("id").and_then(Value::as_str) == Some(instance);
    for found in instances.filter_map(Value::as_table_mut).filter(is_it) {
        let texts = found.entry("sql").or_insert_with(|| Value::Array(Vec::new()));
        if let Some(texts) = texts.as_array_mut() {
            texts.push(Value::String(sql.clone()));
        }
    }
    Ok(table.to_string())
}

/// The four versions of the shop, whose program lies beside the one that runs now.
///
/// # Errors
/// If it does not lie there.
pub fn catalogue() -> io::Result<Catalogue> {
    let shop = beside_this_program("shop")?;
    let images = (1..=4).map(|version| {
        let command = vec![shop.display().to_string(), "--version".to_owned(), version.to_string()];
        // The bad version is sound for its probes, then fails a share of what it is asked.
        let mut environment = match version {
            4 => BTreeMap::from([("SHOP_FAULT_AFTER".to_owned(), "10".to_owned())]),
            _ => BTreeMap::new(),
        };
        // On AWS a task role's.
        let [key, secret, _] = super::people::credentials();
        environment.extend([key, secret].map(|(name, value)| (name.to_owned(), value.to_owned())));
        (format!("shop:v{version}"), Program { command, environment })
    });
    Ok(Catalogue { images: images.collect(), folder: None })
}

/// A program of this workspace, built beside the one that runs now.
///
/// # Errors
/// If it is not there; the text says how to build it.
pub fn beside_this_program(name: &str) -> io::Result<PathBuf> {
    let this = env::current_exe()?;
    let folders = [this.parent(), this.parent().and_then(Path::parent)];
    folders.into_iter().flatten().map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(
        || {
            let text = format!("the program `{name}` does not lie beside this one: run `cargo build`");
            io::Error::new(io::ErrorKind::NotFound, text)
        },
    )
}

/// What the story's database holds before the story begins, made by the shop's own role. Every `awkward_every`-th customer
/// has an address without a structured form.
pub fn initial(customers: u32, awkward_every: Option<NonZeroU32>) -> (String, String) {
    let script = tidegate_shop::initial::script(customers, awkward_every);
    (INSTANCE.to_owned(), format!("SET ROLE shop;\n{script}\nRESET ROLE;"))
}

/// Writes the story's migration files below a folder; gives the folder of the change.
///
/// # Errors
/// If they cannot be written.
pub fn write_migrations(below: &Path) -> io::Result<PathBuf> {
    let folder = below.join("migrations/structured-address");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in MIGRATIONS {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(folder)
}
