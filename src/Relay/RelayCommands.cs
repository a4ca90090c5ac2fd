using Marmot.Hosting;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Postgres;
using Marmot.Relay.Storage.Postgres.Schema;

namespace Marmot.Relay;

/// <summary>The operator's commands: on the store <c>relay import|export|stats|delete|compact|sync|migrate</c>, on a running relay <c>relay stats --live</c>.</summary>
/// <remarks>Exit codes: 0 done, 1 failed, 2 wrong usage. Data goes to standard output, words to standard error.</remarks>
public static class RelayCommands
{
    /// <param name="args">What follows the word <c>relay</c>.</param>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Contains("--help"))
        {
            await Console.Out.WriteLineAsync(RelayCommandLine.Usage);
            return 0;
        }

        if (RelayCommandLine.TryRead(args, out var mistake) is not { } line)
        {
            await Console.Error.WriteLineAsync($"relay: {mistake}\n{RelayCommandLine.Usage}");
            return 2;
        }

        try
        {
            var configuration = new ConfigurationManager();
            configuration.AddMarmotSources([.. line.Settings]);
            if (line.Live)
            {
                return await WatchAsync(configuration, line);
            }

            var storage = configuration.GetSection(StorageOptions.Section).Get<StorageOptions>() ?? new StorageOptions();
            return storage.Postgres.Length > 0
                ? await RunOnPostgresAsync(line, storage.Postgres)
                : await RunAsync(line, Path.Combine(storage.DataDirectory, RelayHosting.Folder));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or DllNotFoundException or HttpRequestException)
        {
            await Console.Error.WriteLineAsync($"relay {line.Command}: {exception.Message}");
            return 1;
        }
    }

    private static async Task<int> RunAsync(RelayCommandLine line, string directory)
    {
        if (line.Command == "compact")
        {
            var (before, after) = await StoreCompaction.RunAsync(directory);
            await Console.Error.WriteLineAsync($"{before} bytes before, {after} after");
            return 0;
        }

        if (line.Command == "migrate")
        {
            await Console.Error.WriteLineAsync("the embedded store needs no migration; set Storage:Postgres for a database");
            return 0;
        }

        await using IEventStore store = EmbeddedEventStore.Open(directory);
        return await RunAsync(line, store);
    }

    // Replicas may be running: the database keeps the order between them and us.
    private static async Task<int> RunOnPostgresAsync(RelayCommandLine line, string connectionString)
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

        await using var store = await PostgresEventStore.OpenAsync(connectionString, CancellationToken.None);
        var exitCode = await RunAsync(line, store);
        while (line.Command is "delete" or "import" && await store.EraseAsync(CancellationToken.None))
        {
        }

        return exitCode;
    }

    private static async Task<int> RunAsync(RelayCommandLine line, IEventStore store) => line.Command switch
    {
        "import" => await ImportAsync(store, line),
        "export" => await ExportAsync(store, line),
        "stats" => await WriteStatisticsAsync(store, line),
        "delete" => await DeleteAsync(store, line.Filter!),
        _ => await SyncAsync(store, line),
    };

    private static async Task<int> ImportAsync(IEventStore store, RelayCommandLine line)
    {
        await using var input = line.File is null ? Console.OpenStandardInput() : File.OpenRead(line.File);
        var result = await EventImport.RunAsync(store, input, count => Progress($"{count} events"));
        await Console.Error.WriteLineAsync($"{result.Stored} stored, {result.Duplicates} known before, {result.Refused} refused");
        return result.Refused == 0 ? 0 : 1;
    }

    private static async Task<int> ExportAsync(IEventStore store, RelayCommandLine line)
    {
        await using var output = line.File is null ? Console.OpenStandardOutput() : File.Create(line.File);
        var count = await EventExport.RunAsync(store, line.Filter ?? new Filter(), output, TimeProvider.System.GetUtcNow().ToUnixTimeSeconds());
        await Console.Error.WriteLineAsync($"{count} exported");
        return 0;
    }

    private static async Task<int> WriteStatisticsAsync(IEventStore store, RelayCommandLine line)
    {
        var s = await store.ReadStatisticsAsync(CancellationToken.None);
        await Console.Out.WriteLineAsync(line.Json
            ? $"{{\"events\":{s.Events},\"newest_arrival\":{s.NewestArrival},\"log_bytes\":{s.LogBytes},\"awaiting_erasure\":{s.AwaitingErasure}}}"
            : $"events            {s.Events}\nnewest arrival    {s.NewestArrival}\nlog bytes         {s.LogBytes}\nawaiting erasure  {s.AwaitingErasure}");
        return 0;
    }

    private static async Task<int> DeleteAsync(IEventStore store, Filter filter)
    {
        var keys = await store.QueryAsync(filter, ReadScope.Everything(long.MinValue), ulong.MaxValue, int.MaxValue, CancellationToken.None);
        await Console.Error.WriteLineAsync($"{await store.RemoveAsync(keys, CancellationToken.None)} deleted");
        return 0;
    }

    private static async Task<int> SyncAsync(IEventStore store, RelayCommandLine line)
    {
        SecretKey? key = null;
        if (line.AuthKeyFile is { } file && !SecretKey.TryParse((await File.ReadAllTextAsync(file)).Trim(), out key))
        {
            throw new IOException($"{file} holds no secret key");
        }

        using (key)
        {
            var sync = new RelaySync(store, line.Url!, key, TimeProvider.System, Progress);
            var result = await sync.RunAsync(line.Filter ?? new Filter(), line.Direction, CancellationToken.None);
            await Console.Error.WriteLineAsync(result.Failure is { } failure
                ? $"relay sync: {failure}"
                : $"{result.Pulled} fetched, {result.Pushed} published, {result.Refused} refused");
            return result.Failure is null && result.Refused == 0 ? 0 : 1;
        }
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

    private static void Progress(string text)
    {
        if (!Console.IsErrorRedirected)
        {
            Console.Error.Write($"\r{text}");
        }
    }
}
