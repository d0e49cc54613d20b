//! The JSON Schema of the configuration: for editors, for the reference, and for samples.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// Returns the schema, JSON Schema draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>();
    let title = "Configuration of Portcullis";
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}
