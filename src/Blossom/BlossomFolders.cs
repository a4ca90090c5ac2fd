using Marmot.Hosting.Settings;
using Marmot.Platform.Files;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom;

/// <summary>Where the store keeps its things below <c>Storage:DataDirectory</c>.</summary>
internal sealed class BlossomFolders
{
    /// <summary>The folder below the data directory.</summary>
    public const string Name = "blossom";

    /// <summary>Where a running server takes the operator's commands, in that folder.</summary>
    public const string SocketName = "operator.sock";

    public BlossomFolders(IOptions<StorageOptions> options, IOptions<BlossomOptions> blossom)
    {
        OwnerSecret = blossom.Value.OwnerSecretFile;
        Root = Path.GetFullPath(Path.Combine(options.Value.DataDirectory, Name));
        Folders.CreateOwnerOnly(Root);
        if (OwnerSecret.Length == 0)
        {
            OwnerSecret = Path.Combine(Root, "owner.secret");
        }
    }

    public string Root { get; }

    public string Blobs => Root;

    public string Index => Path.Combine(Root, "claims.index");

    public string OwnerSecret { get; }

    public string OperatorSocket => Path.Combine(Root, SocketName);

    public string Reports => Path.Combine(Root, "reports.jsonl");
}
