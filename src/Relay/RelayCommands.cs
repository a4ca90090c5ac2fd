using System.Text;
using System.Text.Json;
using Marmot.Hosting;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Filters;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;

namespace Marmot.Relay;

/// <summary>The operator's commands on a stopped relay's store: <c>relay import|export|stats|delete|compact</c>.</summary>
/// <remarks>Exit codes: 0 done, 1 failed, 2 wrong usage. Data goes to standard output, words to standard error.</remarks>
public static class RelayCommands
{
    private const string Usage = """
        usage: relay COMMAND [--Storage:DataDirectory=DIR] [--config FILE]
          import [FILE]                 store events from JSON lines (default: standard input); each is verified
          export [FILE] [--filter JSON] write events as JSON lines, oldest arrival first (default: standard output)
          stats [--json]                what is stored
          delete --filter JSON          remove events and overwrite their bytes
          compact                       give the space of removed events back
        The relay must not be running on the same directory.
        """;

    private static readonly string[] Commands = ["import", "export", "stats", "delete", "compact"];

    /// <param name="args">What follows the word <c>relay</c>.</param>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length == 0 || args.Contains("--help"))
        {
            await Console.Out.WriteLineAsync(Usage);
            return args.Length == 0 ? 2 : 0;
        }

        if (!Commands.Contains(args[0]) || !TryReadFilter(args, out var filter))
        {
            await Console.Error.WriteLineAsync(Usage);
            return 2;
        }

        try
        {
            var configuration = new ConfigurationManager();
            configuration.AddMarmotSources([.. args.Where(a => a.StartsWith("--", StringComparison.Ordinal) && a.Contains('=', StringComparison.Ordinal)
                || IsConfig(args, a))]);
            var storage = configuration.GetSection(StorageOptions.Section).Get<StorageOptions>() ?? new StorageOptions();
            var directory = Path.Combine(storage.DataDirectory, RelayHosting.Folder);
            return await RunAsync(args, directory, filter);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or DllNotFoundException)
        {
            await Console.Error.WriteLineAsync($"relay {args[0]}: {exception.Message}");
            return 1;
        }
    }

    private static async Task<int> RunAsync(string[] args, string directory, Filter? filter)
    {
        var file = args.Skip(1).FirstOrDefault(a => !a.StartsWith('-') && !IsValue(args, a));
        switch (args[0])
        {
            case "import":
                {
                    await using var store = EmbeddedEventStore.Open(directory);
                    await using var input = file is null ? Console.OpenStandardInput() : File.OpenRead(file);
                    var result = await EventImport.RunAsync(store, input, Progress);
                    await Console.Error.WriteLineAsync(
                        $"{result.Stored} stored, {result.Duplicates} known before, {result.Refused} refused");
                    return result.Refused == 0 ? 0 : 1;
                }

            case "export":
                {
                    await using var store = EmbeddedEventStore.Open(directory);
                    await using var output = file is null ? Console.OpenStandardOutput() : File.Create(file);
                    var count = await EventExport.RunAsync(store, filter ?? new Filter(), output, Now);
                    await Console.Error.WriteLineAsync($"{count} exported");
                    return 0;
                }

            case "stats":
                {
                    await using var store = EmbeddedEventStore.Open(directory);
                    var s = await store.ReadStatisticsAsync(CancellationToken.None);
                    await Console.Out.WriteLineAsync(args.Contains("--json")
                        ? $"{{\"events\":{s.Events},\"newest_arrival\":{s.NewestArrival},\"log_bytes\":{s.LogBytes},\"awaiting_erasure\":{s.AwaitingErasure}}}"
                        : $"events            {s.Events}\nnewest arrival    {s.NewestArrival}\nlog bytes         {s.LogBytes}\nawaiting erasure  {s.AwaitingErasure}");
                    return 0;
                }

            case "delete" when filter is not null:
                {
                    await using var store = EmbeddedEventStore.Open(directory);
                    var keys = await store.QueryAsync(filter, ReadScope.Everything(long.MinValue), ulong.MaxValue, int.MaxValue, CancellationToken.None);
                    await Console.Error.WriteLineAsync($"{await store.RemoveAsync(keys, CancellationToken.None)} deleted");
                    return 0;
                }

            case "compact":
                {
                    var (before, after) = await StoreCompaction.RunAsync(directory);
                    await Console.Error.WriteLineAsync($"{before} bytes before, {after} after");
                    return 0;
                }

            default:
                await Console.Error.WriteLineAsync(Usage);
                return 2;
        }
    }

    private static long Now => TimeProvider.System.GetUtcNow().ToUnixTimeSeconds();

    private static void Progress(long count)
    {
        if (!Console.IsErrorRedirected)
        {
            Console.Error.Write($"\r{count} events");
        }
    }

    private static bool TryReadFilter(string[] args, out Filter? filter)
    {
        filter = null;
        var at = Array.IndexOf(args, "--filter");
        if (at < 0)
        {
            return true;
        }

        if (at + 1 == args.Length)
        {
            return false;
        }

        try
        {
            var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(args[at + 1]));
            return Filter.TryRead(ref reader, out filter, out _);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool IsConfig(string[] args, string arg) => arg == "--config" || IsValueOf(args, arg, "--config");

    private static bool IsValue(string[] args, string arg) => IsValueOf(args, arg, "--config") || IsValueOf(args, arg, "--filter");

    private static bool IsValueOf(string[] args, string arg, string option)
    {
        var at = Array.IndexOf(args, option);
        return at >= 0 && at + 1 < args.Length && ReferenceEquals(args[at + 1], arg);
    }
}
