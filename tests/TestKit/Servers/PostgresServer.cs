namespace Marmot.TestKit.Servers;

/// <summary>
/// A real PostgreSQL (Debian's package) on a free loopback port, its data in a folder of its own, gone when disposed.
/// PostgreSQL refuses to run as root, so there it runs as the package's own user; otherwise as whoever runs the tests.
/// </summary>
/// <remarks>Nothing is synced to the medium: a killed server loses nothing by it, and tests are faster. One server serves many tests: each takes a database of
/// its own.</remarks>
public sealed class PostgresServer : IAsyncDisposable
{
    private const string Account = "postgres"; // made by the package
    private const string Role = "marmot";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _folder;
    private readonly bool _durable;
    private int _databases;

    private PostgresServer(string folder, int port, bool durable) => (_folder, Port, _durable) = (folder, port, durable);

    public int Port { get; }

    /// <summary>What the server wrote so far.</summary>
    public string Log => File.Exists(LogFile) ? File.ReadAllText(LogFile) : "";

    private string Data => Path.Combine(_folder, "data");

    private string LogFile => Path.Combine(_folder, "log");

    /// <summary>Makes a cluster and starts it; takes about two seconds.</summary>
    /// <param name="durable">Sync to the medium after all, for benchmarks.</param>
    public static async Task<PostgresServer> StartAsync(bool durable = false)
    {
        var folder = Directory.CreateTempSubdirectory("marmot-postgres-").FullName;
        var server = new PostgresServer(folder, FreePort.Take(1)[0], durable);
        try
        {
            if (Environment.IsPrivilegedProcess)
            {
                await RunAsync("chown", [Account, folder]);
            }

            await RunToolAsync("initdb", "--pgdata", server.Data, "--username", Role, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync");
            await server.StartAgainAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>A standby that follows this server by streaming and answers reads; it has what was committed when this returns, and what is committed later
    /// after a moment.</summary>
    public async Task<PostgresServer> StartStandbyAsync()
    {
        var folder = Directory.CreateTempSubdirectory("marmot-standby-").FullName;
        var standby = new PostgresServer(folder, FreePort.Take(1)[0], _durable);
        try
        {
            if (Environment.IsPrivilegedProcess)
            {
                await RunAsync("chown", [Account, folder]);
            }

            await RunToolAsync(
                "pg_basebackup", "--pgdata", standby.Data, "--host", "127.0.0.1", "--port", $"{Port}", "--username", Role, "--wal-method", "stream",
                "--checkpoint", "fast", "--write-recovery-conf", "--no-sync");
            await standby.StartAgainAsync();
            return standby;
        }
        catch
        {
            await standby.DisposeAsync();
            throw;
        }
    }

    /// <summary>Makes a standby the server that takes writes, as a failover does.</summary>
    public Task PromoteAsync() => RunToolAsync("pg_ctl", "promote", "--pgdata", Data, "--wait");

    /// <summary>A copy of the data of a stopped server, for <see cref="PutBackAsync"/>: a snapshot of its volume.</summary>
    public Task CopyDataAsync(string name) => RunAsync("cp", ["-a", Data, Path.Combine(_folder, name)]);

    /// <summary>Puts what <see cref="CopyDataAsync"/> copied in the place of a stopped server's data, as when a volume is restored.</summary>
    public async Task PutBackAsync(string name)
    {
        Directory.Delete(Data, recursive: true);
        await RunAsync("cp", ["-a", Path.Combine(_folder, name), Data]);
    }

    /// <summary>A new empty database: its connection string.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        var name = $"test{Interlocked.Increment(ref _databases)}";
        await RunToolAsync("createdb", "--host", "127.0.0.1", "--port", $"{Port}", "--username", Role, name);
        return $"Host=127.0.0.1;Port={Port};Username={Role};Database={name}";
    }

    /// <summary>Writes the whole database to a file with pg_dump, in the form that <see cref="RestoreAsync"/> reads.</summary>
    public Task DumpAsync(string database, string file) => ThroughFolderAsync("dump", async inside =>
    {
        await RunToolAsync("pg_dump", "--format", "custom", "--no-owner", "--file", inside, "--dbname", ToUri(database));
        File.Copy(inside, file, overwrite: true);
    });

    /// <summary>A new database with what <see cref="DumpAsync"/> wrote, here or elsewhere: its connection string.</summary>
    public async Task<string> RestoreAsync(string file)
    {
        var database = await CreateDatabaseAsync();
        await ThroughFolderAsync("restore", async inside =>
        {
            File.Copy(file, inside);
            if (Environment.IsPrivilegedProcess)
            {
                await RunAsync("chown", [Account, inside]);
            }

            await RunToolAsync("pg_restore", "--exit-on-error", "--no-owner", "--dbname", ToUri(database), inside);
        });
        return database;
    }

    /// <summary>Cuts every connection without a word and ends, as a crash would; <see cref="StartAgainAsync"/> brings it back on the same port with what was
    /// committed.</summary>
    public Task CrashAsync() => RunToolAsync("pg_ctl", "stop", "--pgdata", Data, "--mode", "immediate", "--wait");

    /// <summary>SIGKILL to all its processes at once, as an end of its container is: nobody hears a word.</summary>
    public async Task KillAsync()
    {
        var main = (await File.ReadAllLinesAsync(Path.Combine(Data, "postmaster.pid")))[0];
        var children = (await File.ReadAllTextAsync($"/proc/{main}/task/{main}/children")).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        await RunAsync("kill", ["-KILL", main, .. children]);
        while (children.Append(main)
            .Any(id => Directory.Exists($"/proc/{id}") && !File.ReadAllText($"/proc/{id}/stat").Contains(") Z ", StringComparison.Ordinal)))
        {
            await Task.Yield();
        }

        File.Delete(Path.Combine(Data, "postmaster.pid"));
    }

    /// <summary>Tells every connection that it shuts down, and ends, as a service manager or an operator's restart does it.</summary>
    public Task StopAsync() => RunToolAsync("pg_ctl", "stop", "--pgdata", Data, "--mode", "fast", "--wait");

    /// <summary>Returns when it takes connections.</summary>
    public Task StartAgainAsync() => RunToolAsync(
        "pg_ctl", "start", "--pgdata", Data, "--log", LogFile, "--wait", "--timeout", "60",
        "--options", $"-p {Port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync={(_durable ? "on" : "off")} -c max_connections=300");

    public async ValueTask DisposeAsync()
    {
        if (File.Exists(Path.Combine(Data, "postmaster.pid")))
        {
            await CrashAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }

    // The tools' account can read and write here and perhaps nowhere else.
    private async Task ThroughFolderAsync(string name, Func<string, Task> work)
    {
        var inside = Path.Combine(_folder, name);
        try
        {
            await work(inside);
        }
        finally
        {
            File.Delete(inside);
        }
    }

    private string ToUri(string database) => $"postgresql://{Role}@127.0.0.1:{Port}/{database[(database.LastIndexOf('=') + 1)..]}";

    /// <summary>One of PostgreSQL's programs, which Debian keeps out of PATH, as the account that owns the data.</summary>
    private static Task RunToolAsync(string tool, params string[] arguments)
    {
        var program = Path.Combine(BinaryFolder(), tool);
        return Environment.IsPrivilegedProcess
            ? RunAsync("setpriv", ["--reuid", Account, "--regid", Account, "--clear-groups", program, .. arguments])
            : RunAsync(program, arguments);
    }

    private static async Task RunAsync(string program, string[] arguments)
    {
        await using var process = ChildProcess.Start(program, arguments, workingDirectory: Path.GetTempPath());
        if (await process.WaitForExitAsync(Patience) is not 0 and var exitCode)
        {
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {exitCode}:\n{process.Output}");
        }
    }

    /// <summary>The newest installed version.</summary>
    private static string BinaryFolder()
    {
        const string Versions = "/usr/lib/postgresql";
        var newest = Directory.Exists(Versions)
            ? Directory.GetDirectories(Versions).Where(folder => File.Exists(Path.Combine(folder, "bin", "initdb")))
                .MaxBy(folder => int.TryParse(Path.GetFileName(folder), out var version) ? version : 0)
            : null;
        return Path.Combine(newest ?? throw new InvalidOperationException("PostgreSQL is not installed: apt-get install postgresql"), "bin");
    }
}
