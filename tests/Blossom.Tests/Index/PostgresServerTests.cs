using Marmot.TestKit.Servers;
using Npgsql;

namespace Marmot.Blossom.Tests.Index;

public sealed class PostgresServerTests
{
    [Fact]
    public async Task A_crashed_test_server_comes_back_with_what_was_committed()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var source = NpgsqlDataSource.Create(await server.CreateDatabaseAsync());
        await using (var create = source.CreateCommand("CREATE TABLE kept AS SELECT 42 AS answer"))
        {
            await create.ExecuteNonQueryAsync();
        }

        await server.CrashAsync();
        await using var read = source.CreateCommand("SELECT answer FROM kept");
        await Assert.ThrowsAnyAsync<NpgsqlException>(async () => await read.ExecuteScalarAsync());
        await server.StartAgainAsync();
        Assert.Equal(42, await read.ExecuteScalarAsync());
    }
}
