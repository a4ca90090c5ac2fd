using Marmot.Client.Storage;
using Marmot.Platform.Files;

namespace Marmot.Cli;

/// <summary>Where a client's store and its key lie.</summary>
internal static class StoreLocation
{
    internal const string KeyFileName = "store.key";

    /// <summary>The passphrase in a file when one is named, else the key file beside the store, made at the first use.</summary>
    internal static StoreSecret SecretFor(string folder, string? passphraseFile)
    {
        if (passphraseFile is not null)
        {
            return StoreSecret.FromPassphrase(File.ReadAllText(passphraseFile).AsSpan().TrimEnd('\n').TrimEnd('\r'));
        }

        Folders.CreateOwnerOnly(folder);
        return StoreSecret.FromKeyFile(Path.Combine(folder, KeyFileName));
    }
}
