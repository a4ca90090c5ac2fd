using System.Diagnostics;
using System.Globalization;
using Marmot.Benchmarks.RelayLoad;
using Marmot.TestKit.Servers;
using Npgsql;

namespace Marmot.Benchmarks.Scale;

/// <summary>nostream, a relay in TypeScript on PostgreSQL and Redis, built in the folder that the variable NOSTREAM names; two workers, its rate limits
/// lifted.</summary>
internal sealed class Nostream : Peer
{
    private const string Settings = """
        limits:
          connection: { rateLimits: [] }
          event: { rateLimits: [] }
          message: { rateLimits: [] }
        """;

    private readonly string _folder;
    private readonly Dictionary<string, string> _environment;

    private Nostream(string folder, string database, RedisServer redis)
        : base("nostream")
    {
        _folder = folder;
        var postgres = new NpgsqlConnectionStringBuilder(database);
        _environment = new()
        {
            ["DB_HOST"] = postgres.Host!,
            ["DB_PORT"] = postgres.Port.ToString(CultureInfo.InvariantCulture),
            ["DB_USER"] = postgres.Username!,
            ["DB_PASSWORD"] = "none",
            ["DB_NAME"] = postgres.Database!,
            ["DB_MIN_POOL_SIZE"] = "4",
            ["DB_MAX_POOL_SIZE"] = "16",
            ["REDIS_URI"] = "redis://" + redis.Endpoint,
            ["SECRET"] = new string('a', 128),
            ["RELAY_PORT"] = EndPoint.Port.ToString(CultureInfo.InvariantCulture),
            ["WORKER_COUNT"] = "2",
            ["NOSTR_CONFIG_DIR"] = Directory,
        };
    }

    /// <summary>Null when the variable names no folder with a built nostream.</summary>
    public static async Task<Nostream?> FindAsync(PostgresServer postgres, RedisServer redis)
    {
        if (Environment.GetEnvironmentVariable("NOSTREAM") is not { Length: > 0 } folder || !File.Exists(Path.Combine(folder, "dist", "src", "index.js")))
        {
            return null;
        }

        var nostream = new Nostream(folder, await postgres.CreateDatabaseAsync(), redis);
        await File.WriteAllTextAsync(Path.Combine(nostream.Directory, "settings.yaml"), Settings);
        using var migrate = nostream.Run("node_modules/.bin/knex", "migrate:latest");
        await migrate.WaitForExitAsync();
        return migrate.ExitCode == 0 ? nostream : throw new InvalidOperationException("nostream's migrations failed");
    }

    public override TimeSpan? Import(string file) => null;

    protected override Process StartProcess() => Run("dist/src/index.js");

    private Process Run(params string[] arguments)
    {
        var start = new ProcessStartInfo("node", arguments) { WorkingDirectory = _folder, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in _environment)
        {
            start.Environment[name] = value;
        }

        var process = Process.Start(start)!;
        process.OutputDataReceived += static (_, _) => { };
        process.ErrorDataReceived += static (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }
}
