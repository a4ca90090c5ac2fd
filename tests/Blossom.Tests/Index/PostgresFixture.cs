using Marmot.TestKit.Servers;

namespace Marmot.Blossom.Tests.Index;

/// <summary>One PostgreSQL for all tests of this project that share it; each takes a database of its own.</summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    public PostgresServer Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await PostgresServer.StartAsync();

    public async Task DisposeAsync() => await Server.DisposeAsync();
}
