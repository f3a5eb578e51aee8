PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO studies VALUES(1,'little');
INSERT INTO studies VALUES(2,'little/rungs');
INSERT INTO studies VALUES(3,'little/fidelity');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO version_info VALUES(1,12,'5.0.0');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO study_directions VALUES(1,'MAXIMIZE',1,0);
INSERT INTO study_directions VALUES(2,'MINIMIZE',1,1);
INSERT INTO study_directions VALUES(3,'MINIMIZE',1,2);
INSERT INTO study_directions VALUES(4,'MAXIMIZE',2,0);
INSERT INTO study_directions VALUES(5,'MINIMIZE',2,1);
INSERT INTO study_directions VALUES(6,'MINIMIZE',2,2);
INSERT INTO study_directions VALUES(7,'MAXIMIZE',3,0);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO study_user_attributes VALUES(1,1,'nas:n_trials','7');
INSERT INTO study_user_attributes VALUES(2,1,'nas:max_hours','null');
INSERT INTO study_user_attributes VALUES(3,1,'nas:config','"{\"schema_version\":1,\"kind\":\"networks\",\"name\":\"little\",\"space_name\":\"little\",\"space_text\":\"name = \\\"little\\\"\\n[target]\\ndataset = \\\"digits\\\"\\nnum_classes = 10\\nin_channels = 1\\nresolution = 8\\ncap = \\\"2k\\\"\\n[stem]\\nwidth = [4, 8]\\nstride = 1\\n[[stage]]\\nblock = [\\\"separable\\\", \\\"inverted\\\"]\\nwidth = [8, 12, 16]\\ndepth = [1, 2]\\nstride = 2\\n\",\"target\":{\"dataset\":\"digits\",\"num_classes\":10,\"in_channels\":1,\"resolution\":8,\"cap\":\"2k\",\"peak_activation\":null},\"budget\":{\"params\":2000,\"macs\":null,\"peak_activation_bytes\":null},\"data\":\"digits\",\"data_fingerprint\":\"09b39741ec8f\",\"validation_fraction\":0.2,\"objectives\":[\"val_accuracy\",\"params\",\"interference\"],\"fidelities\":[{\"epochs\":1,\"train_fraction\":0.3,\"resolution\":8},{\"epochs\":3,\"train_fraction\":0.3,\"resolution\":8}],\"reduction\":2,\"finalists\":1,\"finalist_seeds\":2,\"recipe\":{\"optimizer\":\"adamw\",\"learning_rate\":0.008,\"weight_decay\":0.05,\"momentum\":0.9,\"batch_size\":64,\"warmup_fraction\":0.15,\"label_smoothing\":0.1,\"ema_decay\":0.0,\"crop_padding\":1,\"mirror\":false,\"alternate_mirror\":false,\"colour_jitter\":0.0,\"cutout\":0,\"drop_path\":0.0,\"suppression\":null},\"plan\":{\"device\":\"cpu\",\"precision\":\"float32\",\"channels_last\":false,\"threads\":1,\"workers\":1,\"trials_per_device\":1,\"cuda_graphs\":false},\"pace\":{\"images_per_second\":42875.85797774019,\"macs\":9432},\"sampler\":\"cap\",\"seed\":0,\"warm_start\":[],\"costs\":[],\"caps\":{}}"');
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO trials VALUES(1,0,1,'COMPLETE','2026-11-27 00:53:42.303563','2026-11-27 00:53:42.375787');
INSERT INTO trials VALUES(2,1,1,'COMPLETE','2026-11-27 00:53:42.399411','2026-11-27 00:53:42.447687');
INSERT INTO trials VALUES(3,0,2,'COMPLETE','2026-11-27 00:53:42.455303','2026-11-27 00:53:42.505024');
INSERT INTO trials VALUES(4,2,1,'COMPLETE','2026-11-27 00:53:42.527559','2026-11-27 00:53:42.594995');
INSERT INTO trials VALUES(5,1,2,'COMPLETE','2026-11-27 00:53:42.602445','2026-11-27 00:53:42.637878');
INSERT INTO trials VALUES(6,3,1,'COMPLETE','2026-11-27 00:53:42.653727','2026-11-27 00:53:42.692405');
INSERT INTO trials VALUES(7,4,1,'COMPLETE','2026-11-27 00:53:42.717639','2026-11-27 00:53:42.785662');
INSERT INTO trials VALUES(8,2,2,'COMPLETE','2026-11-27 00:53:42.793001','2026-11-27 00:53:42.844437');
INSERT INTO trials VALUES(9,5,1,'COMPLETE','2026-11-27 00:53:42.861447','2026-11-27 00:53:42.909024');
INSERT INTO trials VALUES(10,0,3,'COMPLETE','2026-11-27 00:53:42.936680','2026-11-27 00:53:43.005016');
INSERT INTO trials VALUES(11,6,1,'RUNNING','2026-11-27 01:00:01.474257',NULL);
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO trial_user_attributes VALUES(1,1,'nas:candidate','{"number":0,"genotype":{"stem.width":4,"stage1.width":12,"stage1.depth":2,"stage1.block":"separable"},"architecture":{"stem":{"width":4,"stride":1},"stages":[{"width":12,"stride":2,"blocks":[{"family":"separable"},{"family":"separable"}]}]},"cost":{"params":590,"macs":7800,"peak_activation_bytes":2304,"weight_bytes":2360}}');
INSERT INTO trial_user_attributes VALUES(2,1,'nas:notes','{"nas:arm": "start"}');
INSERT INTO trial_user_attributes VALUES(3,1,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(4,1,'nas:measurement','{"fidelity":{"epochs":1,"train_fraction":0.3,"resolution":8},"seed":4228650787,"metrics":{"synflow":6.062155022222815,"naswot":178.72580235481792,"grad_norm":0.3038683482106071,"zen":1.1648109151690886,"swap":805.0,"expressivity":0.734200918849901,"train_loss":2.3059351444244385,"train_loss_ema":2.310919914047487,"train_seconds":0.01894949299980908,"val_accuracy":0.10069444444444445,"val_loss":2.30137570699056,"interference":-0.011003019317944748,"cross_talk":-0.006442076186620009,"excess_coherence":-0.015563962449269487,"class_overlap":0.731330200039913,"redundancy":-0.015018313683888222,"importance_weighted":0.6442555026939505,"channel_correlation":0.15383959406905862,"superlinearity":0.6132837353668927,"channel_kurtosis":1.3414564097713217,"activation_ratio":0.4986979216337204},"train_seconds":0.019828254000003653,"images_per_second":20509.34838533243,"epochs":[{"train_loss":2.3059351444244385,"seconds":0.01894949299980908,"val_loss":2.30137570699056,"val_accuracy":0.10069444444444445}]}');
INSERT INTO trial_user_attributes VALUES(5,2,'nas:candidate','{"number":1,"genotype":{"stem.width":8,"stage1.width":8,"stage1.depth":1,"stage1.block":"inverted"},"architecture":{"stem":{"width":8,"stride":1},"stages":[{"width":8,"stride":2,"blocks":[{"family":"inverted"}]}]},"cost":{"params":346,"macs":6864,"peak_activation_bytes":2560,"weight_bytes":1384}}');
INSERT INTO trial_user_attributes VALUES(6,2,'nas:notes','{"nas:arm": "start"}');
INSERT INTO trial_user_attributes VALUES(7,2,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(8,2,'nas:measurement','{"fidelity":{"epochs":1,"train_fraction":0.3,"resolution":8},"seed":1336310713,"metrics":{"synflow":3.906384559932246,"naswot":163.13490830920222,"grad_norm":0.162364963325246,"zen":0.05703679115485394,"swap":532.0,"expressivity":0.7468623211968518,"train_loss":2.300631046295166,"train_loss_ema":2.300001564960982,"train_seconds":0.013979449999851568,"val_accuracy":0.0763888888888889,"val_loss":2.3019900851779513,"interference":-0.15788334596184778,"cross_talk":-0.15282465584465532,"excess_coherence":-0.1629420360790402,"class_overlap":0.7604209401609465,"redundancy":0.026011501127650105,"importance_weighted":0.4393015701075352,"channel_correlation":0.1659240577763057,"superlinearity":0.7405517495886994,"channel_kurtosis":1.5490585219097706,"activation_ratio":0.4765625},"train_seconds":0.0147746359998564,"images_per_second":27352.627249843936,"epochs":[{"train_loss":2.300631046295166,"seconds":0.013979449999851568,"val_loss":2.3019900851779513,"val_accuracy":0.0763888888888889}]}');
INSERT INTO trial_user_attributes VALUES(9,3,'nas:candidate','{"number":0,"genotype":{"stem.width":4,"stage1.width":12,"stage1.depth":2,"stage1.block":"separable"},"architecture":{"stem":{"width":4,"stride":1},"stages":[{"width":12,"stride":2,"blocks":[{"family":"separable"},{"family":"separable"}]}]},"cost":{"params":590,"macs":7800,"peak_activation_bytes":2304,"weight_bytes":2360}}');
INSERT INTO trial_user_attributes VALUES(10,3,'nas:promotes','[0, 1]');
INSERT INTO trial_user_attributes VALUES(11,3,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(12,3,'nas:measurement','{"fidelity":{"epochs":3,"train_fraction":0.3,"resolution":8},"seed":4228650787,"metrics":{"train_loss":2.286863088607788,"train_loss_ema":2.2886671749285985,"train_seconds":0.04577102699977331,"val_accuracy":0.16666666666666666,"val_loss":2.291884104410807,"interference":-0.031476979734099644,"cross_talk":-0.017040994389805973,"excess_coherence":-0.04591296507839331,"class_overlap":0.7250243889708488,"redundancy":-0.05737054501182759,"importance_weighted":0.6541814435668798,"channel_correlation":0.15151014447918648,"superlinearity":0.5668380430205192,"channel_kurtosis":1.272081875833242,"activation_ratio":0.4557291716337204},"train_seconds":0.028425285999901462,"images_per_second":26036.260455904252,"continued_from":1,"epochs":[{"train_loss":2.3059351444244385,"seconds":0.01894949299980908,"val_loss":2.30137570699056,"val_accuracy":0.10069444444444445},{"train_loss":2.295494318008423,"seconds":0.013613063999855513},{"train_loss":2.286863088607788,"seconds":0.013208470000108719,"val_loss":2.291884104410807,"val_accuracy":0.16666666666666666}]}');
INSERT INTO trial_user_attributes VALUES(13,4,'nas:candidate','{"number":2,"genotype":{"stem.width":8,"stage1.width":16,"stage1.depth":2,"stage1.block":"separable"},"architecture":{"stem":{"width":8,"stride":1},"stages":[{"width":16,"stride":2,"blocks":[{"family":"separable"},{"family":"separable"}]}]},"cost":{"params":970,"macs":14368,"peak_activation_bytes":3072,"weight_bytes":3880}}');
INSERT INTO trial_user_attributes VALUES(14,4,'nas:notes','{"nas:arm": "start"}');
INSERT INTO trial_user_attributes VALUES(15,4,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(16,4,'nas:measurement','{"fidelity":{"epochs":1,"train_fraction":0.3,"resolution":8},"seed":3577148835,"metrics":{"synflow":7.240273887571224,"naswot":193.68183379243078,"grad_norm":0.32358180556001087,"zen":1.9184183621841882,"swap":1199.0,"expressivity":0.7347437949069873,"train_loss":2.310800313949585,"train_loss_ema":2.316549604133079,"train_seconds":0.019485792999830664,"val_accuracy":0.125,"val_loss":2.3014553917778864,"interference":0.14553278439797956,"cross_talk":0.1590080391164099,"excess_coherence":0.1320575296795492,"class_overlap":0.6670843396902788,"redundancy":0.2218404776539354,"importance_weighted":0.6496826931375608,"channel_correlation":0.11274036883905142,"superlinearity":0.6704575382674347,"channel_kurtosis":1.4986478847743405,"activation_ratio":0.44140625},"train_seconds":0.02035305600020365,"images_per_second":19481.418045157603,"epochs":[{"train_loss":2.310800313949585,"seconds":0.019485792999830664,"val_loss":2.3014553917778864,"val_accuracy":0.125}]}');
INSERT INTO trial_user_attributes VALUES(17,5,'nas:candidate','{"number":1,"genotype":{"stem.width":8,"stage1.width":8,"stage1.depth":1,"stage1.block":"inverted"},"architecture":{"stem":{"width":8,"stride":1},"stages":[{"width":8,"stride":2,"blocks":[{"family":"inverted"}]}]},"cost":{"params":346,"macs":6864,"peak_activation_bytes":2560,"weight_bytes":1384}}');
INSERT INTO trial_user_attributes VALUES(18,5,'nas:promotes','[1, 1]');
INSERT INTO trial_user_attributes VALUES(19,5,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(20,5,'nas:measurement','{"fidelity":{"epochs":3,"train_fraction":0.3,"resolution":8},"seed":1336310713,"metrics":{"train_loss":2.2848947048187256,"train_loss_ema":2.2848490890057764,"train_seconds":0.03426741899966146,"val_accuracy":0.1527777777777778,"val_loss":2.294850879245334,"interference":-0.12570706840432305,"cross_talk":-0.11994962640893457,"excess_coherence":-0.13146451039971155,"class_overlap":0.780487382116434,"redundancy":-0.029883037880331934,"importance_weighted":0.4378124958130993,"channel_correlation":0.16959274931261356,"superlinearity":0.6454977913955172,"channel_kurtosis":1.1578641665458251,"activation_ratio":0.5390625},"train_seconds":0.02149591100010184,"images_per_second":34284.639217592994,"continued_from":1,"epochs":[{"train_loss":2.300631046295166,"seconds":0.013979449999851568,"val_loss":2.3019900851779513,"val_accuracy":0.0763888888888889},{"train_loss":2.2935128211975098,"seconds":0.010555803999977798},{"train_loss":2.2848947048187256,"seconds":0.009732164999832094,"val_loss":2.294850879245334,"val_accuracy":0.1527777777777778}]}');
INSERT INTO trial_user_attributes VALUES(21,6,'nas:candidate','{"number":3,"genotype":{"stem.width":4,"stage1.width":12,"stage1.depth":1,"stage1.block":"inverted"},"architecture":{"stem":{"width":4,"stride":1},"stages":[{"width":12,"stride":2,"blocks":[{"family":"inverted"}]}]},"cost":{"params":290,"macs":3768,"peak_activation_bytes":1280,"weight_bytes":1160}}');
INSERT INTO trial_user_attributes VALUES(22,6,'nas:notes','{"nas:arm": "start"}');
INSERT INTO trial_user_attributes VALUES(23,6,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(24,6,'nas:measurement','{"fidelity":{"epochs":1,"train_fraction":0.3,"resolution":8},"seed":2649103801,"metrics":{"synflow":4.1053155432192145,"naswot":143.9116238179577,"grad_norm":0.14868583645483666,"zen":-0.0762964165209441,"swap":291.0,"expressivity":0.5305019110743531,"train_loss":2.303366184234619,"train_loss_ema":2.300746348013459,"train_seconds":0.011034117000008337,"val_accuracy":0.0625,"val_loss":2.302535798814562,"interference":-0.24590910956208173,"cross_talk":-0.014286038530950658,"excess_coherence":-0.4775321805932128,"class_overlap":0.723589199609554,"redundancy":-0.20908972115394006,"importance_weighted":0.8548365885851629,"channel_correlation":0.2573190331227188,"superlinearity":0.998478283189999,"channel_kurtosis":1.329619423923429,"activation_ratio":0.453125},"train_seconds":0.011702063000029739,"images_per_second":33669.87424797887,"epochs":[{"train_loss":2.303366184234619,"seconds":0.011034117000008337,"val_loss":2.302535798814562,"val_accuracy":0.0625}]}');
INSERT INTO trial_user_attributes VALUES(25,7,'nas:candidate','{"number":4,"genotype":{"stem.width":4,"stage1.width":16,"stage1.depth":2,"stage1.block":"inverted"},"architecture":{"stem":{"width":4,"stride":1},"stages":[{"width":16,"stride":2,"blocks":[{"family":"inverted"},{"family":"inverted"}]}]},"cost":{"params":818,"macs":10464,"peak_activation_bytes":3072,"weight_bytes":3272}}');
INSERT INTO trial_user_attributes VALUES(26,7,'nas:notes','{"nas:arm": "start"}');
INSERT INTO trial_user_attributes VALUES(27,7,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(28,7,'nas:measurement','{"fidelity":{"epochs":1,"train_fraction":0.3,"resolution":8},"seed":3946507299,"metrics":{"synflow":6.638604003134927,"naswot":164.83179971924335,"grad_norm":0.27565282834643723,"zen":2.1546383090976606,"swap":523.0,"expressivity":0.6236818660461287,"train_loss":2.2935566902160645,"train_loss_ema":2.2882996975597805,"train_seconds":0.017011211999943043,"val_accuracy":0.1527777777777778,"val_loss":2.299486584133572,"interference":-0.14160196866502442,"cross_talk":-0.010693743202989072,"excess_coherence":-0.2725101941270598,"class_overlap":0.6292202497264912,"redundancy":-0.19515575690859255,"importance_weighted":0.6495032524284555,"channel_correlation":0.17510136008849136,"superlinearity":0.6023176696586302,"channel_kurtosis":1.2856868616664956,"activation_ratio":0.4033203125},"train_seconds":0.017912435999960508,"images_per_second":23040.18892964671,"epochs":[{"train_loss":2.2935566902160645,"seconds":0.017011211999943043,"val_loss":2.299486584133572,"val_accuracy":0.1527777777777778}]}');
INSERT INTO trial_user_attributes VALUES(29,8,'nas:candidate','{"number":4,"genotype":{"stem.width":4,"stage1.width":16,"stage1.depth":2,"stage1.block":"inverted"},"architecture":{"stem":{"width":4,"stride":1},"stages":[{"width":16,"stride":2,"blocks":[{"family":"inverted"},{"family":"inverted"}]}]},"cost":{"params":818,"macs":10464,"peak_activation_bytes":3072,"weight_bytes":3272}}');
INSERT INTO trial_user_attributes VALUES(30,8,'nas:promotes','[4, 1]');
INSERT INTO trial_user_attributes VALUES(31,8,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(32,8,'nas:measurement','{"fidelity":{"epochs":3,"train_fraction":0.3,"resolution":8},"seed":3946507299,"metrics":{"train_loss":2.249077320098877,"train_loss_ema":2.2491420168250413,"train_seconds":0.04433762899998328,"val_accuracy":0.1736111111111111,"val_loss":2.279371897379557,"interference":-0.21461284019600912,"cross_talk":-0.05555840914179895,"excess_coherence":-0.3736672712502193,"class_overlap":0.6906701156023939,"redundancy":-0.16607420259190286,"importance_weighted":0.6424030426539739,"channel_correlation":0.18734400843420637,"superlinearity":0.5838619896298398,"channel_kurtosis":1.1646407835793982,"activation_ratio":0.4189453125},"train_seconds":0.029106021999950826,"images_per_second":25482.61788821167,"continued_from":1,"epochs":[{"train_loss":2.2935566902160645,"seconds":0.017011211999943043,"val_loss":2.299486584133572,"val_accuracy":0.1527777777777778},{"train_loss":2.27268385887146,"seconds":0.013809906999995292},{"train_loss":2.249077320098877,"seconds":0.013516510000044946,"val_loss":2.279371897379557,"val_accuracy":0.1736111111111111}]}');
INSERT INTO trial_user_attributes VALUES(33,9,'nas:candidate','{"number":5,"genotype":{"stem.width":8,"stage1.width":12,"stage1.depth":1,"stage1.block":"separable"},"architecture":{"stem":{"width":8,"stride":1},"stages":[{"width":12,"stride":2,"blocks":[{"family":"separable"}]}]},"cost":{"params":426,"macs":7416,"peak_activation_bytes":2560,"weight_bytes":1704}}');
INSERT INTO trial_user_attributes VALUES(34,9,'nas:notes','{"nas:arm": "start"}');
INSERT INTO trial_user_attributes VALUES(35,9,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(36,9,'nas:measurement','{"fidelity":{"epochs":1,"train_fraction":0.3,"resolution":8},"seed":3472901924,"metrics":{"synflow":3.7200417805870436,"naswot":174.81506373202637,"grad_norm":0.1839445836600796,"zen":-0.0945889017392898,"swap":700.0,"expressivity":0.7590160365905354,"train_loss":2.3040976524353027,"train_loss_ema":2.305976555549089,"train_seconds":0.011835762000146133,"val_accuracy":0.10069444444444445,"val_loss":2.3025021023220487,"interference":-0.07002496465016914,"cross_talk":-0.013646011531651098,"excess_coherence":-0.12640391776868717,"class_overlap":0.6354203628801264,"redundancy":-0.1625843275364148,"importance_weighted":0.7313430611220502,"channel_correlation":0.09242746797408949,"superlinearity":0.71146884414965,"channel_kurtosis":1.9781783246451203,"activation_ratio":0.515625},"train_seconds":0.01262132500005464,"images_per_second":31418.53713316929,"epochs":[{"train_loss":2.3040976524353027,"seconds":0.011835762000146133,"val_loss":2.3025021023220487,"val_accuracy":0.10069444444444445}]}');
INSERT INTO trial_user_attributes VALUES(37,10,'nas:candidate','{"number":4,"genotype":{"stem.width":4,"stage1.width":16,"stage1.depth":2,"stage1.block":"inverted"},"architecture":{"stem":{"width":4,"stride":1},"stages":[{"width":16,"stride":2,"blocks":[{"family":"inverted"},{"family":"inverted"}]}]},"cost":{"params":818,"macs":10464,"peak_activation_bytes":3072,"weight_bytes":3272},"name":"trial 4"}');
INSERT INTO trial_user_attributes VALUES(38,10,'nas:seed','0');
INSERT INTO trial_user_attributes VALUES(39,10,'nas:rung','1');
INSERT INTO trial_user_attributes VALUES(40,10,'nas:worker','"first|18548|117601"');
INSERT INTO trial_user_attributes VALUES(41,10,'nas:measurement','{"fidelity":{"epochs":3,"train_fraction":0.3,"resolution":8},"seed":240908339,"metrics":{"train_loss":2.258671522140503,"train_loss_ema":2.258871444890805,"train_seconds":0.04244454600006975,"val_accuracy":0.23958333333333334,"val_loss":2.2731085883246527,"interference":0.014526841954126624,"cross_talk":0.11742258281003617,"excess_coherence":-0.08836889890178293,"class_overlap":0.7192897648052784,"redundancy":0.021270774609442863,"importance_weighted":0.7153946771063853,"channel_correlation":0.19632939221895343,"superlinearity":0.9583845897411727,"channel_kurtosis":1.1739772968672493,"activation_ratio":0.5009765625},"train_seconds":0.04465681500005303,"images_per_second":26074.601553629,"epochs":[{"train_loss":2.297266960144043,"seconds":0.01569867500006694,"val_loss":2.29774538675944,"val_accuracy":0.13541666666666666},{"train_loss":2.281748056411743,"seconds":0.012242510000078255},{"train_loss":2.258671522140503,"seconds":0.014503360999924553,"val_loss":2.2731085883246527,"val_accuracy":0.23958333333333334}]}');
INSERT INTO trial_user_attributes VALUES(42,11,'nas:candidate','{"number":6,"genotype":{"stem.width":4,"stage1.width":16,"stage1.depth":1,"stage1.block":"inverted"},"architecture":{"stem":{"width":4,"stride":1},"stages":[{"width":16,"stride":2,"blocks":[{"family":"inverted"}]}]},"cost":{"params":354,"macs":4064,"peak_activation_bytes":1280,"weight_bytes":1416}}');
INSERT INTO trial_user_attributes VALUES(43,11,'nas:notes','{"nas:arm": "mutate"}');
INSERT INTO trial_user_attributes VALUES(44,11,'nas:worker','"nobody"');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO trial_params VALUES(1,1,'stem.width',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 4, "high": 8}}');
INSERT INTO trial_params VALUES(2,1,'stage1.width',12.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 8, "high": 16}}');
INSERT INTO trial_params VALUES(3,1,'stage1.depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO trial_params VALUES(4,1,'stage1.block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["separable", "inverted"]}}');
INSERT INTO trial_params VALUES(5,2,'stem.width',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 4, "high": 8}}');
INSERT INTO trial_params VALUES(6,2,'stage1.width',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 8, "high": 16}}');
INSERT INTO trial_params VALUES(7,2,'stage1.depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO trial_params VALUES(8,2,'stage1.block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["separable", "inverted"]}}');
INSERT INTO trial_params VALUES(9,4,'stem.width',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 4, "high": 8}}');
INSERT INTO trial_params VALUES(10,4,'stage1.width',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 8, "high": 16}}');
INSERT INTO trial_params VALUES(11,4,'stage1.depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO trial_params VALUES(12,4,'stage1.block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["separable", "inverted"]}}');
INSERT INTO trial_params VALUES(13,6,'stem.width',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 4, "high": 8}}');
INSERT INTO trial_params VALUES(14,6,'stage1.width',12.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 8, "high": 16}}');
INSERT INTO trial_params VALUES(15,6,'stage1.depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO trial_params VALUES(16,6,'stage1.block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["separable", "inverted"]}}');
INSERT INTO trial_params VALUES(17,7,'stem.width',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 4, "high": 8}}');
INSERT INTO trial_params VALUES(18,7,'stage1.width',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 8, "high": 16}}');
INSERT INTO trial_params VALUES(19,7,'stage1.depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO trial_params VALUES(20,7,'stage1.block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["separable", "inverted"]}}');
INSERT INTO trial_params VALUES(21,9,'stem.width',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 4, "high": 8}}');
INSERT INTO trial_params VALUES(22,9,'stage1.width',12.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 8, "high": 16}}');
INSERT INTO trial_params VALUES(23,9,'stage1.depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO trial_params VALUES(24,9,'stage1.block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["separable", "inverted"]}}');
INSERT INTO trial_params VALUES(25,11,'stem.width',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 4, "high": 8}}');
INSERT INTO trial_params VALUES(26,11,'stage1.width',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 4, "low": 8, "high": 16}}');
INSERT INTO trial_params VALUES(27,11,'stage1.depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO trial_params VALUES(28,11,'stage1.block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["separable", "inverted"]}}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO trial_values VALUES(1,1,0,0.10069444444444444752,'FINITE');
INSERT INTO trial_values VALUES(2,1,1,590.0,'FINITE');
INSERT INTO trial_values VALUES(3,1,2,-0.011003019317944747954,'FINITE');
INSERT INTO trial_values VALUES(4,2,0,0.076388888888888895056,'FINITE');
INSERT INTO trial_values VALUES(5,2,1,346.0,'FINITE');
INSERT INTO trial_values VALUES(6,2,2,-0.15788334596184777636,'FINITE');
INSERT INTO trial_values VALUES(7,3,0,0.16666666666666665741,'FINITE');
INSERT INTO trial_values VALUES(8,3,1,590.0,'FINITE');
INSERT INTO trial_values VALUES(9,3,2,-0.031476979734099644336,'FINITE');
INSERT INTO trial_values VALUES(10,4,0,0.125,'FINITE');
INSERT INTO trial_values VALUES(11,4,1,970.0,'FINITE');
INSERT INTO trial_values VALUES(12,4,2,0.14553278439797956433,'FINITE');
INSERT INTO trial_values VALUES(13,5,0,0.15277777777777779011,'FINITE');
INSERT INTO trial_values VALUES(14,5,1,346.0,'FINITE');
INSERT INTO trial_values VALUES(15,5,2,-0.1257070684043230524,'FINITE');
INSERT INTO trial_values VALUES(16,6,0,0.0625,'FINITE');
INSERT INTO trial_values VALUES(17,6,1,290.0,'FINITE');
INSERT INTO trial_values VALUES(18,6,2,-0.2459091095620817291,'FINITE');
INSERT INTO trial_values VALUES(19,7,0,0.15277777777777779011,'FINITE');
INSERT INTO trial_values VALUES(20,7,1,818.0,'FINITE');
INSERT INTO trial_values VALUES(21,7,2,-0.14160196866502441914,'FINITE');
INSERT INTO trial_values VALUES(22,8,0,0.17361111111111110494,'FINITE');
INSERT INTO trial_values VALUES(23,8,1,818.0,'FINITE');
INSERT INTO trial_values VALUES(24,8,2,-0.21461284019600912476,'FINITE');
INSERT INTO trial_values VALUES(25,9,0,0.10069444444444444752,'FINITE');
INSERT INTO trial_values VALUES(26,9,1,426.0,'FINITE');
INSERT INTO trial_values VALUES(27,9,2,-0.070024964650169135849,'FINITE');
INSERT INTO trial_values VALUES(28,10,0,0.23958333333333334258,'FINITE');
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO trial_heartbeats VALUES(1,1,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(2,2,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(3,3,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(4,4,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(5,5,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(6,6,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(7,7,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(8,8,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(9,9,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(10,10,'2026-11-27 00:53:42');
INSERT INTO trial_heartbeats VALUES(11,11,'2026-11-27 01:00:01');
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO alembic_version VALUES('v3.2.0.a');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
