return await Marmot.AllInOne.CommandLine.RunAsync(args);
