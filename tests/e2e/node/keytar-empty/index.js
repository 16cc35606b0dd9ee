// keytar builds native code from source when it is installed, and only msal-node-extensions' file
// and keychain persistence uses it. Broker clients do not, so this empty package takes its place.
module.exports = {};
