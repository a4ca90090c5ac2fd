using Marmot.Relay.Storage.Postgres.Schema;
using Marmot.TestKit.Servers;
using Npgsql;

namespace Marmot.Relay.Tests.Storage.Postgres;

/// <summary>One PostgreSQL for all tests of this project that use it; each takes a database of its own, with the relay's tables in it.</summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    public const string Collection = "PostgreSQL";
    private string _template = "";
    private int _databases;

    public PostgresServer Server { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Server = await PostgresServer.StartAsync();
        _template = await Server.CreateDatabaseAsync();
        await RelayMigrator.RunAsync(_template + ";Pooling=false", CancellationToken.None);
    }

    /// <summary>A fresh copy of the migrated database: its connection string.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        var settings = new NpgsqlConnectionStringBuilder(_template);
        var name = $"relay{Interlocked.Increment(ref _databases)}";
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(_template) { Database = "postgres", Pooling = false });
        await using var create = source.CreateCommand($"CREATE DATABASE {name} TEMPLATE {settings.Database}");
        await create.ExecuteNonQueryAsync();
        settings.Database = name;
        return settings.ConnectionString;
    }

    public async Task DisposeAsync() => await Server.DisposeAsync();
}

[CollectionDefinition(PostgresFixture.Collection)]
public sealed class PostgresTests : ICollectionFixture<PostgresFixture>;
