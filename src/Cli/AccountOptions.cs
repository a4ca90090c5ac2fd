using System.CommandLine;
using Marmot.Cli.Commands;
using Marmot.Client;
using Marmot.Client.Storage;
using Marmot.Terminal;

namespace Marmot.Cli;

/// <summary>The options of every command that works on an account, wherever they stand, and what runs such a command.</summary>
internal static class AccountOptions
{
    private static readonly Option<string?> Home = Global(
        Define.Text("--home", "FOLDER", "where the account lies (default: $MARMOT_HOME, then ~/.local/share/marmot)"));
    private static readonly Option<string?> PassphraseFile = Global(
        Define.Text("--passphrase-file", "FILE", "the account is encrypted under this passphrase, not under FOLDER/store.key"));
    private static readonly Option<bool> Json = Global(Define.Flag("--json", "results as JSON"));

    public static void AddTo(Command root)
    {
        root.Add(Home);
        root.Add(PassphraseFile);
        root.Add(Json);
    }

    /// <summary>The command gets the open account. <paramref name="mayBeNew"/>: there need not be one yet.</summary>
    public static Command RunsWithAccount(this Command command, Func<Context, ParseResult, Task> run, bool mayBeNew = false)
    {
        command.SetAction(async (words, _) =>
        {
            try
            {
                return await RunAsync(words, run, mayBeNew);
            }
            catch (UsageException wrong)
            {
                await Console.Error.WriteLineAsync($"marmot {command.Name}: {wrong.Message}\n'marmot {command.Name} --help' shows how it is used");
                return ExitCodes.WrongUsage;
            }
            catch (Exception failure) when (failure is ClientException or IOException or InvalidDataException or UnauthorizedAccessException
                or OperationCanceledException or DllNotFoundException)
            {
                await Console.Error.WriteLineAsync($"marmot {command.Name}: {failure.Message}");
                return ExitCodes.Failed;
            }
        });
        return command;
    }

    /// <summary>The same for a command that waits for nothing.</summary>
    public static Command RunsWithAccount(this Command command, Action<Context, ParseResult> run) => command.RunsWithAccount((context, words) =>
    {
        run(context, words);
        return Task.CompletedTask;
    });

    /// <summary>True when one of them is there.</summary>
    public static bool AnyGiven(System.CommandLine.Parsing.CommandResult command) =>
        command.GetResult(Home) is not null || command.GetResult(PassphraseFile) is not null || command.GetValue(Json);

    private static async Task<int> RunAsync(ParseResult words, Func<Context, ParseResult, Task> run, bool mayBeNew)
    {
        string home = words.GetValue(Home) ?? Environment.GetEnvironmentVariable("MARMOT_HOME")
            ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "marmot");
        if (!mayBeNew && !File.Exists(Path.Combine(home, ClientStore.FileName)))
        {
            throw new ClientException($"there is no account in {home} yet; 'marmot init --relay URL' makes one");
        }

        using var secret = StoreLocation.SecretFor(home, words.GetValue(PassphraseFile));
        await using var context = new Context(ClientStore.Open(home, secret), words.GetValue(Json), words.InvocationConfiguration.Output);
        await run(context, words);
        return context.HasFailed ? ExitCodes.Failed : ExitCodes.Done;
    }

    private static Option<T> Global<T>(Option<T> option)
    {
        option.Recursive = true;
        return option;
    }
}
