using System.Diagnostics.CodeAnalysis;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Marmot.Relay.Storage.Postgres.Schema;

/// <summary>Brings the database to this program's schema, once, however many replicas start together.</summary>
[SuppressMessage("Security", "CA2100", Justification = "put together from constants, numbers and parameter names only")]
internal static class RelayMigrator
{
    // Any number will do as long as nobody else in the database uses it: "relay" in ASCII.
    private const long AdvisoryLock = 0x72656C6179;
    private const string UndefinedTable = "42P01";
    private const string UndefinedSchema = "3F000";

    /// <returns>How many migrations ran; 0 when the database was up to date.</returns>
    public static async Task<int> RunAsync(string connectionString, CancellationToken cancel)
    {
        await using var source = PostgresSource.Create(connectionString);
        await using var guard = await source.OpenConnectionAsync(cancel);
        await using var schema = RelaySchema.Open(source);
        var known = schema.Database.GetMigrations().ToList();
        if (await IsCurrentAsync(guard, known[^1], cancel))
        {
            return 0;
        }

        await using (var take = new NpgsqlCommand($"SELECT pg_advisory_lock({AdvisoryLock})", guard) { CommandTimeout = 0 })
        {
            await take.ExecuteNonQueryAsync(cancel); // let go with the connection
        }

        var due = (await schema.Database.GetPendingMigrationsAsync(cancel)).Count();
        if (due > 0)
        {
            await schema.Database.MigrateAsync(cancel);
        }

        return due;
    }

    // Cheap, and needs no right to change tables: the rule at every start after the first.
    private static async Task<bool> IsCurrentAsync(NpgsqlConnection connection, string newest, CancellationToken cancel)
    {
        try
        {
            await using var ask = new NpgsqlCommand(
                $"SELECT EXISTS (SELECT FROM {RelaySchema.Name}.{RelaySchema.HistoryTable} WHERE \"MigrationId\" = $1)", connection);
            ask.Parameters.Add(new NpgsqlParameter<string> { TypedValue = newest });
            return (bool)(await ask.ExecuteScalarAsync(cancel))!;
        }
        catch (PostgresException exception) when (exception.SqlState is UndefinedTable or UndefinedSchema)
        {
            return false;
        }
    }
}
