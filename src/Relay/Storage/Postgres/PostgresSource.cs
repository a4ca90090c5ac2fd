using Npgsql;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>How the store connects: prepared statements, no reset between uses, and plans that follow the indexes.</summary>
internal static class PostgresSource
{
    // Every read is a walk of an index in answer order up to a limit; without these the planner sorts or hashes whole lists once it
    // believes them short, which is always so while the tables are new.
    private const string PlannerSettings =
        "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_sort=off"
        + " -c enable_incremental_sort=off -c enable_material=off -c jit=off -c synchronous_commit=on"
        + " -c plan_cache_mode=force_generic_plan"; // the plan is the same for all values, so each statement is planned once a connection

    /// <exception cref="IOException">These are not Npgsql's words.</exception>
    public static NpgsqlDataSource Create(string connectionString)
    {
        var settings = Read(connectionString);
        settings.Options = settings.Options is { Length: > 0 } given ? PlannerSettings + " " + given : PlannerSettings;
        settings.ApplicationName ??= "marmot-relay";
        settings.MaxAutoPrepare = settings.MaxAutoPrepare > 0 ? settings.MaxAutoPrepare : 100;
        settings.AutoPrepareMinUsages = 2;
        settings.NoResetOnClose = true; // nothing here changes a session
        settings.MaxPoolSize = connectionString.Contains("Pool Size", StringComparison.OrdinalIgnoreCase) ? settings.MaxPoolSize : 32;
        settings.IncludeErrorDetail = false; // details would name events
        settings.CommandTimeout = connectionString.Contains("Command Timeout", StringComparison.OrdinalIgnoreCase) ? settings.CommandTimeout : 15; // seconds
        return NpgsqlDataSource.Create(settings);
    }

    private static NpgsqlConnectionStringBuilder Read(string connectionString)
    {
        try
        {
            return new NpgsqlConnectionStringBuilder(connectionString);
        }
        catch (Exception exception) when (exception is ArgumentException or FormatException)
        {
            throw new IOException("Storage:Postgres is not a connection string: " + exception.Message, exception);
        }
    }
}
