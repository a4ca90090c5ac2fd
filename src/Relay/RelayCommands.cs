using System.CommandLine;
using System.IO.Compression;
using Marmot.Hosting;
using Marmot.Hosting.Deletion;
using Marmot.Hosting.Moderating;
using Marmot.Hosting.Operating;
using Marmot.Hosting.Settings;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Postgres;
using Marmot.Relay.Storage.Postgres.Schema;
using Marmot.Terminal;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Relay;

/// <summary>The operator's commands: on the store <c>relay import|export|stats|delete|compact|sync|migrate</c>, on a running relay <c>relay stats
/// --live</c>.</summary>
/// <remarks>Exit codes: 0 done, 1 failed, 2 wrong usage. Data goes to standard output, words to standard error.</remarks>
public static class RelayCommands
{
    /// <summary>Adds the commands below the command of the role.</summary>
    public static void AddTo(Command relay)
    {
        relay.Description += "; its commands work on its store or database, all but compact also while it runs";
        foreach (var command in RelayCommandLine.CreateCommands(RunAsync))
        {
            command.TakeSettings();
            relay.Add(command);
        }
    }

    /// <summary>The commands alone, without the server.</summary>
    /// <param name="args">What follows the word <c>relay</c>.</param>
    public static Task<int> RunAsync(string[] args)
    {
        var root = new RootCommand("the relay's store");
        AddTo(root);
        return ConsoleProgram.RunAsync(root, args);
    }

    private static async Task<int> RunAsync(RelayCommandLine line)
    {
        try
        {
            var configuration = new ConfigurationManager();
            configuration.AddMarmotSources([.. line.Settings]);
            if (line.Live)
            {
                return await WatchAsync(configuration, line);
            }

            var storage = configuration.GetSection(StorageOptions.Section).Get<StorageOptions>() ?? new StorageOptions();
            var relay = configuration.GetSection(RelayOptions.Section).Get<RelayOptions>() ?? new RelayOptions();
            return storage.Postgres.Length > 0
                ? await RunOnPostgresAsync(line, storage.Postgres, relay)
                : await RunAsync(line, Path.Combine(storage.DataDirectory, RelayHosting.Folder), relay);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or DllNotFoundException or HttpRequestException)
        {
            await Console.Error.WriteLineAsync($"relay {line.Command}: {exception.Message}");
            return 1;
        }
    }

    /// <summary>Works on the operator's decisions in a database, whose relays may be running.</summary>
    /// <exception cref="IOException">The database does not answer.</exception>
    public static async Task<int> WithDecisionsAsync(string connectionString, Func<IModerationStore, Task<int>> work)
    {
        ArgumentNullException.ThrowIfNull(work);
        await using var store = await PostgresEventStore.OpenAsync(connectionString, CancellationToken.None,
            StoreEntrance.From(new RelayOptions(), TimeProvider.System));
        return await work(store.Moderation);
    }

    private static async Task<int> RunAsync(RelayCommandLine line, string directory, RelayOptions relay)
    {
        var seams = new StoreSeams { Entrance = StoreEntrance.From(relay, TimeProvider.System), Log = new OperatorLog(Console.Error) };
        using var running = await OperatorClient.TryConnectAsync(new StorePaths(directory).OperatorSocket);
        if (running is not null)
        {
            return await WithStreamsAsync(line, streams => OperatorClient.RunAsync(running, line.Words, streams));
        }

        if (line.Command is not ("import" or "sync") && !Directory.Exists(directory))
        {
            throw new DirectoryNotFoundException(
                $"{Path.GetFullPath(directory)} does not exist: name the relay's data folder with --Storage:DataDirectory=FOLDER");
        }

        if (line.Command == "compact")
        {
            // By the date of the last run: what ended since, the running relay deletes.
            var deletion = new DeletionDate(new DeletionDateFile(Path.GetDirectoryName(directory)!), TimeProvider.System, NullLogger<DeletionDate>.Instance);
            var (before, after) = await StoreCompaction.RunAsync(directory, await deletion.GetAsync(CancellationToken.None), seams, line.DropDamaged);
            await Console.Error.WriteLineAsync($"{before} bytes before, {after} after");
            return 0;
        }

        if (line.Command == "migrate")
        {
            await Console.Error.WriteLineAsync("the embedded store needs no migration; set Storage:Postgres for a database");
            return 0;
        }

        await using IEventStore store = EmbeddedEventStore.Open(directory, seams: seams);
        return await RunAsync(line, store, new ModerationFile(Path.GetDirectoryName(directory)!), relay);
    }

    // Replicas may be running: the database keeps the order between them and us.
    private static async Task<int> RunOnPostgresAsync(RelayCommandLine line, string connectionString, RelayOptions relay)
    {
        if (line.Command == "migrate")
        {
            var ran = await PostgresErrors.GuardAsync(() => RelayMigrator.RunAsync(connectionString, CancellationToken.None));
            await Console.Error.WriteLineAsync(ran == 0 ? "the database is up to date" : $"{ran} migrations applied");
            return 0;
        }

        if (line.Command == "compact")
        {
            await Console.Error.WriteLineAsync("compact is for the embedded store; PostgreSQL uses freed space again by itself");
            return 1;
        }

        await using var store = await PostgresEventStore.OpenAsync(connectionString, CancellationToken.None, StoreEntrance.From(relay, TimeProvider.System));
        var exitCode = await RunAsync(line, store, store.Moderation, relay);
        while (line.Command is "delete" or "import" && await store.EraseAsync(CancellationToken.None))
        {
        }

        return exitCode;
    }

    private static async Task<int> RunAsync(RelayCommandLine line, IEventStore store, IModerationStore decisions, RelayOptions relay)
    {
        using var moderation = new Moderation(decisions);
        var trail = new Decisions(moderation, [], TimeProvider.System);
        return await WithStreamsAsync(line, streams =>
            StoreCommands.RunAsync(line, store, moderation, trail, streams, relay, TimeProvider.System, CancellationToken.None));
    }

    private static async Task<int> WithStreamsAsync(RelayCommandLine line, Func<CommandStreams, Task<int>> run)
    {
        await using var input = new ImportStream(line.Command != "import"
            ? Stream.Null
            : line.File is null
            ? Console.OpenStandardInput()
            : File.OpenRead(line.File));
        await using var output = OpenOutput(line);
        return await run(new CommandStreams(input, output, SayAsync, text => Progress(text, input.Percent)));
    }

    private static Stream OpenOutput(RelayCommandLine line)
    {
        if (line.Command != "export" || line.File is null)
        {
            return Console.OpenStandardOutput();
        }

        var file = File.Create(line.File);
        return line.File.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(file, CompressionLevel.Optimal) : file;
    }

    private static async Task<int> WatchAsync(ConfigurationManager configuration, RelayCommandLine line)
    {
        var admin = configuration.GetSection(AdminOptions.Section).Get<AdminOptions>() ?? new AdminOptions();
        using var stop = new CancellationTokenSource();
        Console.CancelKeyPress += (_, e) =>
        {
            e.Cancel = true;
            stop.Cancel();
        };
        try
        {
            await LiveStatistics.RunAsync(new Uri(admin.Urls.Split(';')[0].TrimEnd('/') + "/"), line.Every, Console.Out, stop.Token);
        }
        catch (OperationCanceledException)
        {
            // Ctrl-C is how watching ends
        }

        return 0;
    }

    private static void Progress(string text, int? percent)
    {
        if (!Console.IsErrorRedirected)
        {
            Console.Error.Write(percent is { } known ? $"\r{text}, {known} %   " : $"\r{text}   ");
        }
    }

    private static async Task SayAsync(string text)
    {
        if (!Console.IsErrorRedirected)
        {
            Console.Error.Write("\r\e[K"); // over what Progress wrote
        }

        await Console.Error.WriteLineAsync(text);
    }
}
