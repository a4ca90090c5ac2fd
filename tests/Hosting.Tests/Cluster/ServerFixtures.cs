using Marmot.TestKit.Servers;

namespace Marmot.Hosting.Tests.Cluster;

/// <summary>One Redis for the tests of a class.</summary>
public sealed class RedisFixture : IAsyncLifetime
{
    private int _names;

    public RedisServer Server { get; private set; } = null!;

    /// <summary>Keys and channels of one test.</summary>
    public string NextName() => $"test{Interlocked.Increment(ref _names)}";

    public async Task InitializeAsync() => Server = await RedisServer.StartAsync();

    public async Task DisposeAsync() => await Server.DisposeAsync();
}

/// <summary>One PostgreSQL for all tests of this project that use it; each takes a database of its own.</summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    public PostgresServer Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await PostgresServer.StartAsync();

    public async Task DisposeAsync() => await Server.DisposeAsync();
}

[CollectionDefinition(Name)]
public sealed class PostgresTests : ICollectionFixture<PostgresFixture>
{
    public const string Name = "PostgreSQL";
}
