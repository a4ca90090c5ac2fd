using Marmot.Blossom.Auth;
using Marmot.Blossom.Index;
using Marmot.Blossom.Index.Postgres;
using Marmot.Blossom.Storage;
using Marmot.Protocol.Encoding;
using Microsoft.EntityFrameworkCore;

namespace Marmot.Blossom.Tests.Index;

public sealed class PostgresBlobIndexTests(PostgresFixture postgres) : BlobIndexContract, IClassFixture<PostgresFixture>, IAsyncLifetime
{
    private string _database = "";

    public async Task InitializeAsync() => _database = await postgres.Server.CreateDatabaseAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task The_migrations_make_the_schema_the_code_expects()
    {
        await using var database = new PostgresDatabase(_database, OwnerTags.Plain);
        await using var context = database.CreateContext();
        Assert.False(context.Database.HasPendingModelChanges());
        await context.Database.MigrateAsync();
        Assert.Empty(await context.Database.GetPendingMigrationsAsync());
    }

    [Fact]
    public async Task Replicas_that_start_at_once_make_the_schema_once_and_see_each_others_claims()
    {
        var replicas = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => OpenAsync()));
        await Task.WhenAll(
            replicas.Select((replica, i) =>
                replica.AddAsync(new BlobClaim(Filled(9), Filled((byte)(i + 1)), 10, "a/b", 5, null, Guid.NewGuid()), default).AsTask()));
        var entries = await Task.WhenAll(replicas.Select(replica => replica.FindAsync(Filled(9), default).AsTask()));
        Assert.All(entries, entry => Assert.Equal(4, entry!.Claims));
        Assert.Single(entries.Select(entry => entry!.Mark).Distinct());
        foreach (var replica in replicas)
        {
            await replica.DisposeAsync();
        }
    }

    [Fact]
    public async Task Uploads_and_deletions_of_one_blob_by_two_replicas_never_leave_a_claim_whose_bytes_were_given_up()
    {
        await using var one = await OpenAsync();
        await using var two = await OpenAsync();
        var stored = new System.Collections.Concurrent.ConcurrentDictionary<Guid, byte>(); // what a store would hold
        await Task.WhenAll(new[] { one, one, two, two }.Select(async (index, side) =>
        {
            var owner = Filled((byte)(side + 1));
            for (var i = 0; i < 40; i++)
            {
                var mark = Guid.NewGuid();
                stored[mark] = 0;
                if ((await index.AddAsync(new BlobClaim(Filled(9), owner, 10, "a/b", 5, null, mark), default)).Entry.Mark is var kept && kept != mark)
                {
                    stored.TryRemove(mark, out _);
                }

                if ((await index.FindAsync(Filled(9), default))!.Mark is var found)
                {
                    Assert.True(stored.ContainsKey(found), "a blob with a claim has its bytes");
                }

                if (await index.RemoveAsync(Filled(9), owner, default) is { Removal: ClaimRemoval.RemovedLast } removed)
                {
                    Assert.True(stored.TryRemove(removed.Place.Mark, out _), "bytes are given up once");
                }
            }
        }));
        Assert.Empty(stored);
    }

    [Fact]
    public async Task A_replica_with_another_owner_secret_is_refused_and_told_why()
    {
        using var folder = new Marmot.TestKit.TemporaryFolder();
        await using (var first = await OpenAsync())
        {
        }

        await using var other = new PostgresBlobIndex(new PostgresDatabase(_database, OwnerTags.WithSecret(folder.File("owner.secret"))), Clock);
        var refusal = await Assert.ThrowsAsync<ForeignIndexException>(async () => await other.ProbeAsync(default));
        Assert.Contains("Blossom:OwnerSecretFile", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_database_that_went_away_is_said_to_be_and_used_again_when_it_is_back()
    {
        await using var server = await Marmot.TestKit.Servers.PostgresServer.StartAsync();
        await using var index = new PostgresBlobIndex(new PostgresDatabase(await server.CreateDatabaseAsync(), OwnerTags.Plain), Clock);
        await index.AddAsync(new BlobClaim(Filled(9), Filled(1), 10, "a/b", 5, null), default);
        await server.CrashAsync();
        await Assert.ThrowsAsync<StorageUnavailableException>(async () => await index.FindAsync(Filled(9), default));
        await Assert.ThrowsAsync<StorageUnavailableException>(async () =>
            await index.AddAsync(new BlobClaim(Filled(8), Filled(1), 10, "a/b", 5, null), default));
        await Assert.ThrowsAsync<StorageUnavailableException>(async () => await index.ProbeAsync(default));
        await server.StartAgainAsync();
        await index.ProbeAsync(default);
        Assert.NotNull(await index.FindAsync(Filled(9), default));
        Assert.Null(await index.FindAsync(Filled(8), default));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task After_a_restart_of_the_database_the_first_request_of_each_kind_succeeds_though_every_pooled_connection_is_dead(bool killed)
    {
        await using var server = await Marmot.TestKit.Servers.PostgresServer.StartAsync();
        await using var database = new PostgresDatabase(await server.CreateDatabaseAsync(), OwnerTags.Plain);
        await using var index = new PostgresBlobIndex(database, Clock);
        var mark = Guid.NewGuid();
        BlobClaim Claim(byte owner) => new(Filled(9), Filled(owner), 10, "a/b", 5, null, mark);

        await RestartAsync();
        Assert.True((await index.AddAsync(Claim(1), default)).IsNew);
        await RestartAsync();
        Assert.NotNull(await index.FindAsync(Filled(9), default));
        await RestartAsync();
        Assert.NotNull(await index.JoinAsync(Claim(2), default));
        await RestartAsync();
        Assert.Equal(ClaimRemoval.Removed, (await index.RemoveAsync(Filled(9), Filled(1), default)).Removal);
        await RestartAsync();
        await index.ProbeAsync(default);
        await RestartAsync();
        Assert.Equal(mark, (await index.RemoveBlobAsync(Filled(9), default))!.Value.Mark);

        async Task RestartAsync()
        {
            // A dozen connections open at once, then idle in the pool; each with something prepared.
            var (count, all) = (0, new TaskCompletionSource());
            await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => database.AskAsync(
                async (connection, cancellation) =>
                {
                    await using var question = new Npgsql.NpgsqlCommand("SELECT 1", connection);
                    await question.ExecuteScalarAsync(cancellation);
                    if (Interlocked.Increment(ref count) == 12)
                    {
                        all.SetResult();
                    }

                    await all.Task;
                    return true;
                },
                default).AsTask()));
            await (killed ? server.KillAsync() : server.CrashAsync());
            await server.StartAgainAsync();
        }
    }

    private protected override async Task<IBlobIndex> OpenAsync()
    {
        var index = new PostgresBlobIndex(new PostgresDatabase(_database, OwnerTags.Plain), Clock);
        await index.ProbeAsync(default);
        return index;
    }
}
