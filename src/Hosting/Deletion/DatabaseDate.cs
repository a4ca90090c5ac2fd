using Npgsql;

namespace Marmot.Hosting.Deletion;

/// <summary>The date of the database's machine, asked once as a process starts: where the data lie in PostgreSQL, a folder of this machine may be empty or
/// another one's.</summary>
/// <param name="connectionString">As <c>Storage:Postgres</c>.</param>
public sealed class DatabaseDate(string connectionString) : IDeletionPast
{
    /// <inheritdoc/>
    public async ValueTask<DateTimeOffset?> ReadAsync(CancellationToken cancel)
    {
        try
        {
            await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString)
            {
                Pooling = false,
                Timeout = 5,
                CommandTimeout = 5,
            }.ConnectionString);
            await connection.OpenAsync(cancel);
            await using var command = new NpgsqlCommand("SELECT extract(epoch FROM now())::bigint", connection);
            return DateTimeOffset.FromUnixTimeSeconds((long)(await command.ExecuteScalarAsync(cancel))!);
        }
        catch (Exception exception) when (exception is not OperationCanceledException) // also what a server that answers nonsense brings about
        {
            throw new IOException("the database cannot be asked for its date", exception);
        }
    }

    /// <inheritdoc/>
    public void Keep(DateTimeOffset reached)
    {
        // the database has a clock of its own
    }
}
