using Marmot.Blossom.Storage.S3;
using Marmot.TestKit.Servers;

namespace Marmot.Blossom.Tests.Storage;

/// <summary>One S3 service for the tests of a class; each test keeps to a prefix of its own.</summary>
public sealed class S3Fixture : IAsyncLifetime
{
    public S3Server Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await S3Server.StartAsync();

    public async Task DisposeAsync() => await Server.DisposeAsync();

    public S3Options Options(string prefix) => new()
    {
        Endpoint = Server.Endpoint,
        Bucket = S3Server.Bucket,
        AccessKeyFile = Server.AccessKeyFile,
        SecretKeyFile = Server.SecretKeyFile,
        Prefix = prefix,
        PartBytes = 5 * 1024 * 1024,
        Timeout = TimeSpan.FromSeconds(10),
    };

    public string[] Settings(string prefix) =>
    [
        "--Blossom:Blobs=S3", $"--Blossom:S3:Endpoint={Server.Endpoint}", $"--Blossom:S3:Bucket={S3Server.Bucket}",
        $"--Blossom:S3:AccessKeyFile={Server.AccessKeyFile}",
        $"--Blossom:S3:SecretKeyFile={Server.SecretKeyFile}", $"--Blossom:S3:Prefix={prefix}", "--Blossom:S3:PartBytes=5242880",
    ];
}
