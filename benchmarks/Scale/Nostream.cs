using System.Diagnostics;
using System.Globalization;
using System.Text;
using Marmot.Benchmarks.RelayLoad;
using Npgsql;

namespace Marmot.Benchmarks.Scale;

/// <summary>nostream, built in the folder that the environment variable NOSTREAM names, on a database of the same PostgreSQL and on the same Redis; its rate limits are off.</summary>
internal sealed class Nostream(string folder, string database, int redisPort) : Peer("nostream")
{
    public static string? Folder => Environment.GetEnvironmentVariable("NOSTREAM") is { Length: > 0 } folder ? folder : null;

    public override TimeSpan? Import(string file) => null;

    protected override Process StartProcess()
    {
        WriteSettings();
        using (var migration = Run("node_modules/knex/bin/cli.js", "migrate:latest"))
        {
            migration.WaitForExit();
            if (migration.ExitCode != 0)
            {
                throw new InvalidOperationException($"nostream's migrations ended with {migration.ExitCode}; is {folder} built (npm install, npm run build)?");
            }
        }

        return Run("dist/src/index.js");
    }

    private Process Run(params string[] arguments)
    {
        var connection = new NpgsqlConnectionStringBuilder(database);
        var uri = $"postgres://{connection.Username}@{connection.Host}:{connection.Port}/{connection.Database}";
        var start = new ProcessStartInfo("node", arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        (string Key, string Value)[] environment =
        [
            ("DB_URI", uri), ("DATABASE_URI", uri), ("DB_MIN_POOL_SIZE", "4"), ("DB_MAX_POOL_SIZE", "32"), ("DB_ACQUIRE_CONNECTION_TIMEOUT", "60000"),
            ("REDIS_URI", $"redis://127.0.0.1:{redisPort}"), ("RELAY_PORT", EndPoint.Port.ToString(CultureInfo.InvariantCulture)),
            ("NOSTR_CONFIG_DIR", Directory), ("SECRET", Convert.ToHexStringLower(new byte[64])), ("NODE_ENV", "production"),
        ];
        foreach (var (key, value) in environment)
        {
            start.Environment[key] = value;
        }

        var process = Process.Start(start)!;
        process.OutputDataReceived += Discard;
        process.ErrorDataReceived += Discard;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    private static void Discard(object sender, DataReceivedEventArgs line)
    {
    }

    // The defaults with every rateLimits list emptied: what is measured is its work, not its patience.
    private void WriteSettings()
    {
        var settings = new StringBuilder();
        int? skipFrom = null;
        foreach (var line in File.ReadLines(Path.Combine(folder, "resources", "default-settings.yaml")))
        {
            var indent = line.Length - line.TrimStart().Length;
            if (skipFrom is { } from && indent > from)
            {
                continue;
            }

            skipFrom = null;
            if (line.TrimEnd().EndsWith("rateLimits:", StringComparison.Ordinal))
            {
                settings.AppendLine(line.TrimEnd() + " []");
                skipFrom = indent;
                continue;
            }

            settings.AppendLine(line);
        }

        File.WriteAllText(Path.Combine(Directory, "settings.yaml"), settings.ToString());
    }
}
