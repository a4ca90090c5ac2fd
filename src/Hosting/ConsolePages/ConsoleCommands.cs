using System.CommandLine;
using Marmot.Hosting.Settings;
using Marmot.Terminal;
using Microsoft.Extensions.Configuration;

namespace Marmot.Hosting.ConsolePages;

/// <summary><c>marmot-server console login</c>: a link into the console that works once, for who may write to the data folder.</summary>
public static class ConsoleCommands
{
    /// <summary><c>console</c> with its command.</summary>
    public static Command CreateCommand()
    {
        var login = new Command("login", "print a link that logs into the console of the server on this data folder; it works once, for ten minutes");
        login.TakeSettings();
        login.SetAction((words, _) => LogInAsync(SettingWords.From(words)));
        return new Command("console", "the console on the admin port") { login };
    }

    private static async Task<int> LogInAsync(string[] settings)
    {
        var configuration = new ConfigurationManager();
        configuration.AddMarmotSources(settings);
        var storage = configuration.GetSection(StorageOptions.Section).Get<StorageOptions>() ?? new StorageOptions();
        var admin = configuration.GetSection(AdminOptions.Section).Get<AdminOptions>() ?? new AdminOptions();
        var problem = admin.Urls.Length == 0 ? "Admin:Urls is empty: the admin port is off, and the console with it"
            : !Directory.Exists(storage.DataDirectory)
                ? $"{Path.GetFullPath(storage.DataDirectory)} does not exist: name the server's data folder with --Storage:DataDirectory=FOLDER"
            : null;
        if (problem is null)
        {
            try
            {
                var code = ConsoleSessions.CreateCode(storage.DataDirectory, TimeProvider.System);
                var url = admin.Urls.Split(';')[0].TrimEnd('/').Replace("0.0.0.0", "127.0.0.1", StringComparison.Ordinal)
                    .Replace("://*", "://127.0.0.1", StringComparison.Ordinal);
                await Console.Out.WriteLineAsync($"{url}/login?code={code}");
                return 0;
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                problem = exception.Message;
            }
        }

        await Console.Error.WriteLineAsync($"console login: {problem}");
        return 1;
    }
}
