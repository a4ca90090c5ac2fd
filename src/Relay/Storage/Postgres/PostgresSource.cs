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
        var given = Read(connectionString);

        // 1. Where the operator says nothing. Seconds: an answer of "error:" soon serves a client better than waiting for a server that is away.
        var settings = new NpgsqlConnectionStringBuilder
        {
            ApplicationName = "marmot-relay",
            MaxPoolSize = 32,
            MaxAutoPrepare = 100,
            Timeout = 5,
            CommandTimeout = 15,
        };
        foreach (var (key, value) in given)
        {
            settings[key] = value;
        }

        // 2. Whatever he says.
        settings.Options = given.Options is { Length: > 0 } more ? PlannerSettings + " " + more : PlannerSettings;
        settings.AutoPrepareMinUsages = 2;
        settings.NoResetOnClose = true; // nothing here changes a session
        settings.IncludeErrorDetail = false; // details would name events
        return Open(settings);
    }

    // With several hosts the one that is wanted is chosen at each connection; Npgsql wants to be told apart from the string then.
    private static NpgsqlDataSource Open(NpgsqlConnectionStringBuilder settings)
    {
        if (settings.Host?.Contains(',', StringComparison.Ordinal) != true)
        {
            return NpgsqlDataSource.Create(settings);
        }

        var wanted = settings.TargetSessionAttributes;
        settings.TargetSessionAttributes = null;
        return new NpgsqlDataSourceBuilder(settings.ConnectionString).BuildMultiHost().WithTargetSession(Parse(wanted));
    }

    // A relay writes, so of several hosts it wants the one that takes writes unless told otherwise.
    private static TargetSessionAttributes Parse(string? words) => words?.Replace("-", "", StringComparison.Ordinal) switch
    {
        null or "" => TargetSessionAttributes.ReadWrite,
        var text when Enum.TryParse<TargetSessionAttributes>(text, ignoreCase: true, out var attributes) => attributes,
        _ => throw new IOException("Storage:Postgres: Target Session Attributes is read-write, primary, prefer-primary or any"),
    };

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
